module go-leaking-goroutines

go 1.19
