module markets-go

go 1.19
