module rpo

go 1.26.0
