package httpapi

import (
	"maps"
	"net/url"
	"slices"

	"github.com/winaity/billing/internal/domain/fault"
)

// fields are the named inputs of a request: the members of a JSON object, or the
// parameters of a query. They are read one by one with required, optional and
// take; then err returns every one that did not fit, and those that nobody asked
// for.
type fields[Raw any] struct {
	unread   map[string]Raw
	rejected []fault.Field
}

// queryFields returns the parameters of a query.
func queryFields(u *url.URL) (*fields[string], error) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, codeMalformed, "The query string is not well-formed.")
	}
	f := &fields[string]{unread: make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			f.reject(name, "must be there once")
			continue
		}
		f.unread[name] = values[name][0]
	}
	return f, nil
}

// take returns the field as it is, if it is there.
func (f *fields[Raw]) take(name string) (Raw, bool) {
	raw, ok := f.unread[name]
	delete(f.unread, name)
	return raw, ok
}

// optional returns the field, parsed, or a zero value if it is not there.
func optional[T, Raw any](f *fields[Raw], name string, parse func(Raw) (T, error)) T {
	var none T
	raw, ok := f.take(name)
	if !ok {
		return none
	}
	value, err := parse(raw)
	if err != nil {
		f.reject(name, err.Error())
		return none
	}
	return value
}

// required is optional for a field that must be there.
func required[T, Raw any](f *fields[Raw], name string, parse func(Raw) (T, error)) T {
	if _, ok := f.unread[name]; !ok {
		f.reject(name, "is required")
	}
	return optional(f, name, parse)
}

// reject adds to what does not fit.
func (f *fields[Raw]) reject(name, detail string) {
	f.rejected = append(f.rejected, fault.Field{Name: name, Detail: detail})
}

// fit reports whether all that was read so far fits, and nothing is left.
func (f *fields[Raw]) fit() bool { return len(f.rejected) == 0 && len(f.unread) == 0 }

// err returns a validation error for all that does not fit, or nil. Call it when
// everything known has been read: what is left is unknown.
func (f *fields[Raw]) err() error {
	for _, name := range slices.Sorted(maps.Keys(f.unread)) {
		f.reject(name, "is not known")
	}
	return fault.Validation(f.rejected...)
}
