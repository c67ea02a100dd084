// Keeps 1,000 blocks of 512 bytes of Go's, and 500 of 256 bytes of C's. Collects garbage, says "ready" and waits for a
// line.
package main

/*
#include <stdlib.h>

static void *keepInC(size_t size) { return malloc(size); }
*/
import "C"

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/pprof"
	"unsafe"
)

type block [512]byte

var inGo []*block
var inC []unsafe.Pointer

//go:noinline
func keepInGo() { inGo = append(inGo, new(block)) }

func main() {
	runtime.MemProfileRate = 1
	for i := 0; i < 1000; i++ {
		keepInGo()
	}
	for i := 0; i < 500; i++ {
		inC = append(inC, C.keepInC(256))
	}
	runtime.GC()
	runtime.GC()
	// Somebody could ask for the profile, so that there is one.
	if len(os.Args) > 1 {
		if err := pprof.WriteHeapProfile(os.Stdout); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("ready")
	var line string
	fmt.Scanln(&line)
	runtime.KeepAlive(inGo)
}
