package main

import (
	"flag"
	"io"
)

// newFlags returns the flags of an operator's command: all of them have --json.
func newFlags(name string) (flags *flag.FlagSet, asJSON *bool) {
	flags = flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error together with the usage
	return flags, flags.Bool("json", false, "print JSON")
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return &usageError{err.Error()}
	}
	return nil
}
