//go:build !noendpoint && !noprofile

package main

import _ "net/http/pprof"
