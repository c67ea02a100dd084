// A service whose cache of market values never lets go of any: each request key adds an entry. It listens on
// loopback, on a port that it prints. Built without tags, it offers its heap profile at /debug/pprof/heap.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
)

// MarketsValueCache keeps the values of every request key that was ever asked for.
type MarketsValueCache struct {
	mutex  sync.Mutex
	values map[string][]float64
}

var cache = MarketsValueCache{values: map[string][]float64{}}

const pointsPerKey = 1024

// queryMarketsValues stands for a database: the values of one key, a number each.
func queryMarketsValues(key string, values []float64) {
	for i := range values {
		values[i] = float64(len(key) + i)
	}
}

func (c *MarketsValueCache) getOrQueryMarketsValues(key string) []float64 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if values, isKnown := c.values[key]; isKnown {
		return values
	}
	values := make([]float64, pointsPerKey)
	queryMarketsValues(key, values)
	c.values[key] = values
	return values
}

func serveMarkets(writer http.ResponseWriter, request *http.Request) {
	values := cache.getOrQueryMarketsValues(request.URL.Query().Get("key"))
	fmt.Fprintln(writer, len(values))
}

// serveKeys answers as so many requests with a key each would have been.
func serveKeys(writer http.ResponseWriter, request *http.Request) {
	var from, to int
	if _, err := fmt.Sscan(request.URL.Query().Get("from"), &from); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	if _, err := fmt.Sscan(request.URL.Query().Get("to"), &to); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	for key := from; key < to; key++ {
		cache.getOrQueryMarketsValues(fmt.Sprint("market-", key))
	}
	fmt.Fprintln(writer, to-from)
}

func main() {
	// Every block, so that the numbers of a run can be told beforehand; a service would keep the default.
	if os.Getenv("MARKETS_EXACT") != "" {
		runtime.MemProfileRate = 1
	}
	http.HandleFunc("/markets", serveMarkets)
	http.HandleFunc("/keys", serveKeys)
	http.HandleFunc("/redirect", func(writer http.ResponseWriter, request *http.Request) {
		http.Redirect(writer, request, request.URL.Query().Get("to"), http.StatusFound)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	go func() {
		// Ends when nobody is there any more to ask it to.
		var line string
		fmt.Scanln(&line)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(listener, nil))
}
