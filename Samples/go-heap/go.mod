module go-heap

go 1.19
