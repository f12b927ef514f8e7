package main

import (
	"fmt"
	"io"
)

func bench(in io.Reader, out io.Writer) error { return fmt.Errorf("later") }
