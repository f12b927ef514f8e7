package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	kjson "sigs.k8s.io/json"
)

// workload is what is measured: policies over Pods.
type workload struct {
	Pods     []json.RawMessage `json:"pods"`
	Policies []struct {
		Name        string        `json:"name"`
		Variables   []namedSource `json:"variables"`
		Expressions []string      `json:"expressions"`
	} `json:"policies"`
	Seconds float64 `json:"seconds"`
}

// figures are of one policy over one Pod; times are nanoseconds.
type figures struct {
	Policy       string  `json:"policy"`
	Pod          int     `json:"pod"`
	Evaluate     float64 `json:"evaluate"`
	EvaluateHeap float64 `json:"evaluate_heap"`
	Decode       float64 `json:"decode"`
	DecodeHeap   float64 `json:"decode_heap"`
	Both         float64 `json:"both"`
	BothHeap     float64 `json:"both_heap"`
	Compile      float64 `json:"compile"`
	CompileHeap  float64 `json:"compile_heap"`
}

// measure is how long the work takes on average and how often it allocates, after it ran once.
func measure(seconds float64, work func() error) (float64, float64, error) {
	if err := work(); err != nil {
		return 0, 0, err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	started, rounds := time.Now(), 0
	for batch := 1; time.Since(started).Seconds() < seconds; batch *= 2 {
		for range batch {
			if err := work(); err != nil {
				return 0, 0, err
			}
		}
		rounds += batch
	}
	took := time.Since(started)
	runtime.ReadMemStats(&after)
	return float64(took.Nanoseconds()) / float64(rounds), float64(after.Mallocs-before.Mallocs) / float64(rounds), nil
}

// bench measures what the API server does with the policies: decoding a Pod without its types, evaluating compiled
// expressions with a fresh composition context, and compiling them.
func bench(in io.Reader, out io.Writer) error {
	var work workload
	if err := json.NewDecoder(in).Decode(&work); err != nil {
		return err
	}
	// One processor, as the other side has.
	runtime.GOMAXPROCS(1)
	encoder := json.NewEncoder(out)
	for _, policy := range work.Policies {
		declarations := plugincel.OptionalVariableDeclarations{}
		question := &question{Version: "1.37", Variables: policy.Variables}
		set, err := question.environments()
		if err != nil {
			return err
		}
		var compiler *plugincel.CompositedCompiler
		var compiled []plugincel.CompilationResult
		compile := func() error {
			for _, source := range policy.Variables {
				named := variable{expression(source.Expression), source.Name}
				compiler.CompileAndStoreVariable(named, declarations, environment.StoredExpressions)
			}
			compiled = nil
			for _, source := range policy.Expressions {
				result := compiler.CompileCELExpression(expression(source), declarations, environment.StoredExpressions)
				if result.Error != nil {
					return fmt.Errorf("%s: %v", source, result.Error)
				}
				compiled = append(compiled, result)
			}
			return nil
		}
		// The environment is made once: only the expressions are what is compiled again and again.
		if compiler, err = plugincel.NewCompositedCompiler(set); err != nil {
			return err
		}
		var one figures
		if one.Compile, one.CompileHeap, err = measure(work.Seconds, compile); err != nil {
			return err
		}
		for place, pod := range work.Pods {
			row := one
			row.Policy, row.Pod = policy.Name, place
			var content map[string]any
			decode := func() error {
				content = nil
				return kjson.UnmarshalCaseSensitivePreserveInts(pod, &content)
			}
			if row.Decode, row.DecodeHeap, err = measure(work.Seconds, decode); err != nil {
				return err
			}
			ready, err := newSubject(content)
			if err != nil {
				return err
			}
			evaluate := func() error { return judge(ready, compiler, compiled) }
			if row.Evaluate, row.EvaluateHeap, err = measure(work.Seconds, evaluate); err != nil {
				return err
			}
			both := func() error {
				if err := decode(); err != nil {
					return err
				}
				ready.attributes.VersionedObject.Set(object(content))
				return judge(ready, compiler, compiled)
			}
			if row.Both, row.BothHeap, err = measure(work.Seconds, both); err != nil {
				return err
			}
			if err := encoder.Encode(row); err != nil {
				return err
			}
		}
	}
	return nil
}

func newSubject(content map[string]any) (*subject, error) {
	question := &question{Object: content}
	return question.subject()
}

func judge(subject *subject, compiler *plugincel.CompositedCompiler, compiled []plugincel.CompilationResult) error {
	results, _, err := subject.evaluate(compiler, compiled, false)
	if err != nil {
		return err
	}
	for _, result := range results {
		if result.Error != nil {
			return result.Error
		}
	}
	return nil
}
