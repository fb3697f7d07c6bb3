// Package docs embeds the documents of the contract, so that the binary serves
// the very documents that it was tested against.
package docs

import "embed"

// Files has openapi.yaml and asyncapi.yaml, the JSON Schemas of the events under
// schemas/, and under ui/ what shows the former in a browser.
//
//go:embed openapi.yaml asyncapi.yaml schemas/*.json
//go:embed ui/*.html ui/*.css ui/*.js ui/*.gz
var Files embed.FS
