package httpapi

import (
	"net/http"
	"testing"
)

// RFC 9110, sections 8.8.3 and 13.1. The present version is 2.
func TestConditions(t *testing.T) {
	for _, test := range []struct {
		value              string
		matched, unchanged bool
	}{
		{`"2"`, true, true},
		{`W/"2"`, false, true}, // weak tags never match strongly
		{`"1"`, false, false},
		{`"02"`, false, false},
		{`""`, false, false},
		{`*`, true, true},
		{` * `, true, true},
		{`"1", "2"`, true, true},
		{`"1","2"`, true, true},
		{`"1"	,	W/"2"`, false, true},
		{`, "1",, "2",`, true, true}, // recipients ignore empty elements
		{`"1,2", "3"`, false, false}, // the comma is in the tag
		{`"a,\", "2"`, true, true},   // a backslash escapes nothing in a tag
		{"\"\xe9\", \"2\"", true, true},
	} {
		got, err := conditionsOf(http.Header{"If-Match": {test.value}})
		if err != nil || (got.Check(2) == nil) != test.matched {
			t.Errorf("If-Match: %s: %v, %v", test.value, got.In, err)
		}
		got, err = conditionsOf(http.Header{"If-None-Match": {test.value}})
		if err != nil || got.NotIn.Has(2) != test.unchanged || (got.Check(2) == nil) == test.unchanged {
			t.Errorf("If-None-Match: %s: %v, %v", test.value, got.NotIn, err)
		}
	}
	got, err := conditionsOf(http.Header{"If-Match": {`"1"`, `"2"`}})
	if err != nil || got.Check(2) != nil {
		t.Errorf("the lines of a list are one list: %v", err)
	}
	if none, err := conditionsOf(http.Header{}); err != nil || none.Check(2) != nil || none.NotIn.Has(2) {
		t.Errorf("no conditions ask nothing: %v", err)
	}
}

func TestBrokenConditions(t *testing.T) {
	for _, value := range []string{
		``, ` `, `,`, `2`, `"2`, `2"`, `"`, `w/"2"`, `W/2`, `W/`, `W/ "2"`, `'2'`, `"2" "3"`, `"2";"3"`, `"2"3`,
		`*, "2"`, `"2", *`, `**`, `" 2"`, "\"\x01\"", "\"\x7f\"",
	} {
		for _, name := range []string{"If-Match", "If-None-Match"} {
			if _, err := conditionsOf(http.Header{name: {value}}); err == nil {
				t.Errorf("%s: %q was accepted", name, value)
			}
		}
	}
}
