package policy

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// compiled is the schema as a strict validator reads it: formats are asserted.
func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", unmarshal(t, Schema())); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func unmarshal(t testing.TB, data []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// jsonOf is a YAML node as editors hand it to a schema: keys are texts, whatever they look like.
func jsonOf(t testing.TB, n *yaml.Node) any {
	t.Helper()
	switch n.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			object[n.Content[i].Value] = jsonOf(t, n.Content[i+1])
		}
		return object
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, jsonOf(t, item))
		}
		return list
	case yaml.ScalarNode:
		if isText(n) {
			return n.Value
		}
		var v any
		if err := n.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	t.Fatalf("line %d: no JSON", n.Line)
	return nil
}

// The schema and the parser accept the same and refuse the same. What the schema cannot refuse says
// why in its case, and the schema is held to accepting it.
func TestSchemaAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	validate := func(t *testing.T, text string) error {
		file, err := Parse("caa.yaml", []byte(whole(text)))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(jsonOf(t, file.root))
	}
	for _, c := range valids {
		t.Run("valid: "+c.name, func(t *testing.T) {
			t.Parallel()
			if err := validate(t, c.text); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("valid: the example", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile("../../../examples/policy.yaml")
		if err != nil {
			t.Fatal(err)
		}
		load(t, string(text))
		if err := validate(t, string(text)); err != nil {
			t.Error(err)
		}
	})
	refused := 0
	for _, c := range invalids {
		if c.beyond == notJSON {
			continue // nothing of it reaches a schema
		}
		if c.beyond == "" {
			refused++
		}
		t.Run("invalid: "+c.name, func(t *testing.T) {
			t.Parallel()
			switch err := validate(t, c.text); {
			case err == nil && c.beyond == "":
				t.Error("the schema accepts it")
			case err != nil && c.beyond != "":
				t.Errorf("%q is no reason, for the schema refuses it: %v", c.beyond, err)
			}
		})
	}
	if refused < 80 {
		t.Errorf("the schema has to refuse only %d cases", refused)
	}
}

// Every mapping of the parser is an object of the schema with the same keys. A key that is added to
// the one and not to the other fails here.
func TestSchemaHasTheParsersKeys(t *testing.T) {
	t.Parallel()
	objects := map[string]map[string]any{}
	root := unmarshal(t, Schema()).(map[string]any)
	objectsOf("", root, objects)
	for place, keys := range map[string][]string{
		"":                   slices.Sorted(maps.Keys(policyRows)),
		"/$defs/issuer":      slices.Sorted(maps.Keys(issuerRows)),
		"/$defs/node":        slices.Sorted(maps.Keys(specRows)),
		"/$defs/zone":        slices.Sorted(maps.Keys(zoneRows)),
		"/$defs/granted":     slices.Sorted(maps.Keys(grantedRows)),
		"/$defs/contact":     slices.Sorted(maps.Keys(contactRows)),
		"/$defs/property":    slices.Sorted(maps.Keys(propertyRows)),
		"/$defs/nameserver":  slices.Sorted(maps.Keys(nameserverRows)),
		"/$defs/certificate": slices.Sorted(maps.Keys(certificateRows)),
	} {
		object := objects[place]
		delete(objects, place)
		if object == nil {
			t.Errorf("the schema has no object %q", place)
			continue
		}
		if has := slices.Sorted(maps.Keys(object["properties"].(map[string]any))); !slices.Equal(has, keys) {
			t.Errorf("%q has the keys\n%v, the parser\n%v", place, has, keys)
		}
		if object["additionalProperties"] != false {
			t.Errorf("%q takes unknown keys", place)
		}
	}
	for place := range objects {
		t.Errorf("the parser's rows for %q are not in this test", place)
	}
}

// objectsOf finds the subschemas with keys of their own.
func objectsOf(place string, v any, into map[string]map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["type"] == "object" {
			into[place] = v
		}
		for key, child := range v {
			if key != "examples" {
				objectsOf(place+"/"+key, child, into)
			}
		}
	case []any:
		for _, child := range v {
			objectsOf(place+"/-", child, into)
		}
	}
}

// Whoever reads the schema in an editor finds a word on each key, and examples that hold.
func TestSchemaExplains(t *testing.T) {
	t.Parallel()
	root := unmarshal(t, Schema()).(map[string]any)
	definitions := root["$defs"].(map[string]any)
	objects := map[string]map[string]any{}
	objectsOf("", root, objects)
	for place, object := range objects {
		for key, v := range object["properties"].(map[string]any) {
			entry := v.(map[string]any)
			if ref, ok := entry["$ref"].(string); ok && entry["description"] == nil {
				entry = definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
			}
			if entry["description"] == nil {
				t.Errorf("%s: nothing explains %s", place, key)
			}
		}
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", root); err != nil {
		t.Fatal(err)
	}
	examples := 0
	var walk func(place string, v any)
	walk = func(place string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if list, ok := v["examples"].([]any); ok {
				s, err := c.Compile("schema.json#" + place)
				if err != nil {
					t.Fatal(err)
				}
				for _, example := range list {
					examples++
					if err := s.Validate(example); err != nil {
						t.Errorf("%s: its example %v is invalid: %v", place, example, err)
					}
				}
			}
			for key, child := range v {
				if key != "examples" && key != "enum" {
					walk(place+"/"+key, child)
				}
			}
		}
	}
	walk("", root)
	if examples < 20 {
		t.Errorf("only %d examples", examples)
	}
}
