// Allocates from calls of every kind, collects garbage, writes the profile that runtime/pprof makes of the heap to the
// file of its first argument, and says "ready". A line on its input has it allocate a mebibyte more, which no garbage
// collection has seen; it says "done" and waits for another line.
//
// The second argument is the sampling rate in bytes. With "uncollected" as the third, there is no garbage collection,
// and the profile is written after the first line.
package main

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
)

type block [512]byte

type keeper struct {
	blocks []*block
	texts  map[int]string
}

var kept keeper
var sink any

// Small enough to be inlined in its callers.
func newBlock() *block { return new(block) }

func newPair() (*block, *block) { return newBlock(), newBlock() }

// A method, in which inlined calls are inlined in each other.
func (k *keeper) keep() {
	first, second := newPair()
	k.blocks = append(k.blocks, first, second)
}

//go:noinline
func (k *keeper) keepText(key int) {
	k.texts[key] = strings.Repeat("x", 100+key%50)
}

type number interface{ ~int | ~float64 }

//go:noinline
func series[T number](count int) []T {
	values := make([]T, count)
	for i := range values {
		values[i] = T(i)
	}
	return values
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

//go:noinline
func (p *pair[K, V]) copied() *pair[K, V] { return &pair[K, V]{p.key, p.value} }

//go:noinline
func deep(level int) *block {
	if level == 0 {
		return newBlock()
	}
	return deep(level - 1)
}

// A stack that is cut: it is deeper than the runtime records, in the middle of inlined calls in some versions.
//
//go:noinline
func deepInlined(level int) *block {
	return inlinedStep(level)
}

func inlinedStep(level int) *block {
	if level == 0 {
		return newBlock()
	}
	return deepInlined(level - 1)
}

func allocate() (all []any) {
	for i := 0; i < 400; i++ {
		kept.keep()
		kept.keepText(i)
	}
	closure := func(count int) []*block {
		var blocks []*block
		for i := 0; i < count; i++ {
			blocks = append(blocks, newBlock())
		}
		return blocks
	}
	all = append(all, closure(300))
	all = append(all, series[int](5000), series[float64](70000))
	for i := 0; i < 200; i++ {
		p := &pair[int, string]{i, "value"}
		all = append(all, p.copied())
	}
	for _, level := range []int{1, 10, 27, 28, 29, 30, 31, 32, 33, 60, 124, 127, 128, 129, 200} {
		all = append(all, deep(level), deepInlined(level))
	}
	var mutex sync.Mutex
	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func(count int) {
			defer group.Done()
			blocks := closure(count)
			mutex.Lock()
			defer mutex.Unlock()
			all = append(all, blocks)
		}(10 * i)
	}
	group.Wait()
	// Garbage.
	for i := 0; i < 1000; i++ {
		sink = newBlock()
		sink = fmt.Sprint("garbage ", i)
	}
	sink = nil
	return all
}

func writeProfile(path string) {
	file, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	if err := pprof.Lookup("allocs").WriteTo(file, 0); err != nil {
		log.Fatal(err)
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
}

func wait() {
	var line string
	fmt.Scanln(&line)
}

//go:noinline
func allocateMore() (all []any) {
	for i := 0; i < 2048; i++ {
		all = append(all, newBlock())
	}
	return all
}

func main() {
	rate, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	runtime.MemProfileRate = rate
	debug.SetGCPercent(-1)
	// Up to Go 1.23, a rate is in force from the next sample on, which the one before had already put somewhere.
	for i := 0; i < 32; i++ {
		sink = make([]byte, 1<<20)
	}
	kept.texts = map[int]string{}
	all := allocate()
	if len(os.Args) > 3 && os.Args[3] == "uncollected" {
		fmt.Println("ready")
		wait()
		writeProfile(os.Args[1])
	} else {
		// The second one publishes what the first one found.
		runtime.GC()
		runtime.GC()
		writeProfile(os.Args[1])
		fmt.Println("ready")
		wait()
		all = append(all, allocateMore())
	}
	fmt.Println("done")
	wait()
	runtime.KeepAlive(all)
}
