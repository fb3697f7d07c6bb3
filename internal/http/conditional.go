package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// conditions are what the request asks of the resource's present version
// (RFC 9110, section 13). The zero conditions ask nothing.
type conditions struct {
	ifMatch     *tagList
	ifNoneMatch *tagList
}

// conditionsOf reads If-Match and If-None-Match.
func conditionsOf(h http.Header) (conditions, error) {
	ifMatch, err := parseTags(h, "If-Match")
	if err != nil {
		return conditions{}, err
	}
	ifNoneMatch, err := parseTags(h, "If-None-Match")
	return conditions{ifMatch, ifNoneMatch}, err
}

// hold reports whether a command may go on.
func (c conditions) hold(version int) bool { return c.matched(version) && !c.unchanged(version) }

// matched is false if the request wants another version: If-Match compares
// strongly, so that a weak tag never matches.
func (c conditions) matched(version int) bool {
	return c.ifMatch == nil || c.ifMatch.any || slices.Contains(c.ifMatch.tags, etag(version))
}

// unchanged is true if the client has the version: If-None-Match compares
// weakly.
func (c conditions) unchanged(version int) bool {
	return c.ifNoneMatch != nil && (c.ifNoneMatch.any || slices.ContainsFunc(c.ifNoneMatch.tags, func(tag string) bool {
		return strings.TrimPrefix(tag, "W/") == etag(version)
	}))
}

// etag returns the entity tag of a version.
func etag(version int) string { return `"` + strconv.Itoa(version) + `"` }

// tagList is the value of If-Match or If-None-Match.
type tagList struct {
	any  bool     // the value is *
	tags []string // as they were written, with quotes
}

// parseTags returns nil if there is no such header.
func parseTags(h http.Header, name string) (*tagList, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return nil, nil
	}
	rest := strings.Join(values, ",")
	if strings.Trim(rest, " \t") == "*" {
		return &tagList{any: true}, nil
	}
	list := &tagList{}
	for {
		// Empty elements are allowed to be there, and mean nothing.
		rest = strings.TrimLeft(rest, ", \t")
		if rest == "" {
			break
		}
		tag, after, ok := cutTag(rest)
		if !ok {
			return nil, brokenTags(name)
		}
		list.tags = append(list.tags, tag)
		rest = after
	}
	if len(list.tags) == 0 {
		return nil, brokenTags(name)
	}
	return list, nil
}

// cutTag cuts the entity tag that s begins with, and which a comma or the end
// must follow.
func cutTag(s string) (tag, after string, ok bool) {
	opening := strings.TrimPrefix(s, "W/")
	if !strings.HasPrefix(opening, `"`) {
		return "", "", false
	}
	length := strings.IndexByte(opening[1:], '"') + 2
	if length == 1 || strings.ContainsFunc(opening[:length], notInTag) {
		return "", "", false
	}
	after = strings.TrimLeft(opening[length:], " \t")
	if after != "" && after[0] != ',' {
		return "", "", false
	}
	return s[:len(s)-len(opening)+length], after, true
}

func notInTag(r rune) bool { return r <= ' ' || r == 0x7f }

func brokenTags(name string) error {
	return malformed(name + ` must be * or a list of entity tags in double quotes, such as "1".`)
}
