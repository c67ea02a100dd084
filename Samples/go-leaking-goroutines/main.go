// Each line on its input has it begin 100 requests, each with a goroutine that waits for an answer nobody gives any
// more, and one that ends. It says "ready" at first, and "begun" after each line.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"runtime/pprof"
	"sync"
	"time"
)

func await(answer chan int) {
	<-answer
}

//go:noinline
func request(done *sync.WaitGroup) {
	answer := make(chan int)
	go await(answer)
	done.Add(1)
	go func() {
		defer done.Done()
	}()
}

// One that does not become more.
func keepAlive() {
	go func() {
		for {
			time.Sleep(time.Hour)
		}
	}()
}

func main() {
	keepAlive()
	// A profile that somebody could ask for, so that the heap is recorded.
	if len(os.Args) > 1 {
		if err := pprof.Lookup("goroutine").WriteTo(os.Stdout, 2); err != nil {
			log.Fatal(err)
		}
		if err := pprof.WriteHeapProfile(os.Stdout); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var done sync.WaitGroup
		for i := 0; i < 100; i++ {
			request(&done)
		}
		done.Wait()
		fmt.Println("begun")
	}
}
