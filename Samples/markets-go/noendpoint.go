//go:build noendpoint

package main

import (
	"log"
	"os"
	"runtime/pprof"
)

// A service that could write its profile, as many can by some library, and never does. With the tag noprofile
// there is not even that, so that Go's linker leaves profiling out.
func init() {
	path := os.Getenv("MARKETS_PROFILE")
	if path == "" {
		return
	}
	file, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if err := pprof.WriteHeapProfile(file); err != nil {
		log.Fatal(err)
	}
}
