package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/winaity/billing/internal/domain/version"
)

// conditionsOf reads If-Match and If-None-Match: what the request asks of the
// resource's present version (RFC 9110, section 13).
func conditionsOf(h http.Header) (version.Precondition, error) {
	match, err := parseTags(h, "If-Match")
	if err != nil {
		return version.Precondition{}, err
	}
	noneMatch, err := parseTags(h, "If-None-Match")
	return version.Precondition{In: match, NotIn: noneMatch}, err
}

// etag returns the entity tag of a version.
func etag(v int) string { return `"` + strconv.Itoa(v) + `"` }

// parseTags returns the versions whose entity tags are listed; nil if there is no
// such header. If-Match compares strongly, so that a weak tag never matches;
// If-None-Match compares weakly.
func parseTags(h http.Header, name string) (*version.Set, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return nil, nil
	}
	rest := strings.Join(values, ",")
	if strings.Trim(rest, " \t") == "*" {
		return &version.Set{All: true}, nil
	}
	versions, tags := &version.Set{}, 0
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
		if name == "If-None-Match" {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if v, err := strconv.Atoi(strings.Trim(tag, `"`)); err == nil && tag == etag(v) {
			versions.Of = append(versions.Of, v)
		}
		tags++
		rest = after
	}
	if tags == 0 {
		return nil, brokenTags(name)
	}
	return versions, nil
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
