package policy

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the language's JSON Schema (draft 2020-12), for editors and other tools. It says less than
// Compile: nothing about what names refer to. An editor finds it by a comment in the policy file:
//
//	# yaml-language-server: $schema=https://raw.githubusercontent.com/coredns-caa/caa/main/plugin/pkg/policy/schema.json
func Schema() []byte { return slices.Clone(schema) }
