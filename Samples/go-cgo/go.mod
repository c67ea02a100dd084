module go-cgo

go 1.19
