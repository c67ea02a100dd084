// Keeps and drops blocks as lines on its input say, answers "done" to each, and ends with its input:
//
//	small N, large N        keep N more blocks of 512 bytes, or of 16 KiB, of one stack each
//	drop-small N, drop-large N  let go of the N oldest of them
//	garbage                 allocate 32 MiB that nothing keeps
//	collect                 collect garbage, and publish what was found
//	rate N                  set the sampling rate
//	exec                    begin anew as the same process
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
)

var small, large [][]byte
var sink []byte

//go:noinline
func keepSmall(count int) {
	for i := 0; i < count; i++ {
		small = append(small, make([]byte, 512))
	}
}

//go:noinline
func keepLarge(count int) {
	for i := 0; i < count; i++ {
		large = append(large, make([]byte, 16384))
	}
}

func drop(blocks [][]byte, count int) [][]byte {
	clear := blocks[:count]
	for i := range clear {
		clear[i] = nil
	}
	return blocks[count:]
}

func main() {
	if os.Getenv("GO_ATTACH_PROFILE") != "" {
		// Never; but that it could be keeps the linker from leaving sampling out.
		pprof.WriteHeapProfile(os.Stdout)
	}
	debug.SetGCPercent(-1)
	// So that growing does not count.
	small = make([][]byte, 0, 1<<20)
	large = make([][]byte, 0, 1<<16)
	fmt.Println("ready")
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var command string
		var count int
		fmt.Sscan(input.Text(), &command, &count)
		switch command {
		case "small":
			keepSmall(count)
		case "large":
			keepLarge(count)
		case "drop-small":
			small = drop(small, count)
		case "drop-large":
			large = drop(large, count)
		case "garbage":
			for i := 0; i < 32; i++ {
				sink = make([]byte, 1<<20)
			}
			sink = nil
		case "collect":
			runtime.GC()
			runtime.GC()
		case "rate":
			runtime.MemProfileRate = count
		case "exec":
			log.Fatal(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
		}
		fmt.Println("done")
	}
}
