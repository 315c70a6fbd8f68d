package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
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
func jsonOf(t testing.TB, n *yamlpos.Node) any {
	t.Helper()
	switch n.Kind {
	case yamlpos.Mapping:
		object := map[string]any{}
		for key, value := range n.Pairs() {
			object[key.Value] = jsonOf(t, value)
		}
		return object
	case yamlpos.Sequence:
		list := []any{}
		for item := range n.Items() {
			list = append(list, jsonOf(t, item))
		}
		return list
	}
	if v, ok := n.Int(); ok {
		return v
	}
	if v, ok := n.Bool(); ok {
		return v
	}
	if v, ok := n.Float(); ok {
		return v
	}
	if n.Type == yamlpos.Null {
		return nil
	}
	return n.Value
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
		return s.Validate(jsonOf(t, file.tree.Root))
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
		"/$defs/removed":     slices.Sorted(maps.Keys(removedRows)),
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

var update = flag.Bool("update", false, "write what the schema has of the table of tags")

// What the schema says of the tags that grant is made from issuance's table, by -update.
func TestSchemaIsMadeFromTheTagsTable(t *testing.T) {
	t.Parallel()
	var keys, defs strings.Builder
	for _, tag := range issuance.Tags {
		if !tag.Grants {
			continue
		}
		words, example := `{ "enum": ["none", "any"] }`, `["none", ["digicert"]]`
		if tag.Wildcard {
			words, example = `{ "enum": ["none", "issue"] }`, `["none", "issue", ["letsencrypt"]]`
		}
		fmt.Fprintf(&keys, "        %q: { \"$ref\": \"#/$defs/%s\" },\n", tag.Name, tag.Name)
		fmt.Fprintf(&defs, "    %q: {\n      \"description\": %q,\n      \"anyOf\": [\n        %s,\n        { \"$ref\": \"#/$defs/grants\" }\n      ],\n      \"examples\": %s\n    },\n",
			tag.Name, tag.Text, words, example)
	}
	made := string(Schema())
	for place, text := range map[string]string{
		`(?m)(^        "\w+": \{ "\$ref": "#/\$defs/\w+" \},\n)+?(?:        "report")`: keys.String() + `        "report"`,
		`(?ms)^    "issue": \{\n.*?^    "grants"`:                                      defs.String() + `    "grants"`,
	} {
		at := regexp.MustCompile(place)
		if !at.MatchString(made) {
			t.Fatalf("the schema has no place for the tags: %s", place)
		}
		made = at.ReplaceAllLiteralString(made, text)
	}
	types, err := json.Marshal(issuance.CertificateTypes())
	if err != nil {
		t.Fatal(err)
	}
	made = regexp.MustCompile(`"enum": \["tls".*`).ReplaceAllLiteralString(made, `"enum": `+strings.ReplaceAll(string(types), ",", ", "))
	if made == string(Schema()) {
		return
	}
	if !*update {
		t.Error("the schema differs from the table of tags; run go test ./plugin/pkg/policy -update")
	} else if err := os.WriteFile("schema.json", []byte(made), 0o644); err != nil {
		t.Error(err)
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
