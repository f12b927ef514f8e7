// The oracle: what the API server's own CEL environment answers to an expression, and how long it takes. JSON lines in, JSON
// lines out. It knows nothing of Portcullis; the tests beside it compare.
//
//	oracle expr  < cases.jsonl > answers.jsonl
//	oracle bench < work.json   > figures.jsonl
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"k8s.io/klog/v2"
	kjson "sigs.k8s.io/json"
)

func main() {
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: oracle expr|bench"))
	}
	var err error
	switch os.Args[1] {
	case "expr":
		err = answerLines(os.Stdin, os.Stdout)
	case "bench":
		err = bench(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "oracle:", err)
	os.Exit(2)
}

// answerLines answers each line as soon as no other line is waiting to be read.
func answerLines(in io.Reader, out io.Writer) error {
	reader, writer := bufio.NewReaderSize(in, 1<<20), bufio.NewWriterSize(out, 1<<20)
	encoder := json.NewEncoder(writer)
	encoder.SetEscapeHTML(false)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 1 {
			var asked question
			reply := answer{Outcome: "bad_input"}
			// Integers stay integers, as where the API server decodes objects.
			if err := kjson.UnmarshalCaseSensitivePreserveInts(line, &asked); err != nil {
				reply.Error = err.Error()
			} else {
				reply = asked.answer()
			}
			if err := encoder.Encode(reply); err != nil {
				return err
			}
		}
		if reader.Buffered() == 0 || err != nil {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
