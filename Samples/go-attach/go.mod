module go-attach

go 1.19
