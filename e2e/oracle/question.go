package main

import (
	"encoding/json"
	"fmt"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
)

// question is an expression and what it is evaluated over: the format of `portcullis eval --jsonl`.
type question struct {
	ID string `json:"id"`
	// Expr is the expression.
	Expr string `json:"expr"`
	// Env is "vap", "map", or "base", where only Vars are declared.
	Env string `json:"env"`
	// Version is the release whose language it is; empty for the library's default.
	Version string `json:"version"`
	// Stored compiles as a policy that is in force already; so unless Env is "base".
	Stored *bool `json:"stored"`

	Object          map[string]any  `json:"object"`
	OldObject       map[string]any  `json:"oldObject"`
	Params          map[string]any  `json:"params"`
	NoParams        bool            `json:"no_params"`
	NamespaceObject map[string]any  `json:"namespaceObject"`
	Request         map[string]any  `json:"request"`
	Variables       []namedSource   `json:"variables"`
	Authz           *ruleAuthorizer `json:"authz"`

	Vars     map[string]any    `json:"vars"`
	VarTypes map[string]string `json:"var_types"`
}

// namedSource is a variable of a policy.
type namedSource struct {
	Name       string `json:"name"`
	Expression string `json:"expression"`
}

// answer is what came of it.
type answer struct {
	ID         string `json:"id,omitempty"`
	Expr       string `json:"expr"`
	Outcome    string `json:"outcome"`
	Type       string `json:"type,omitempty"`
	Value      any    `json:"value,omitempty"`
	OutputType string `json:"output_type,omitempty"`
	Error      string `json:"error,omitempty"`
	Cost       *int64 `json:"cost,omitempty"`
}

func (q *question) answer() (reply answer) {
	// A panic of the library is an answer too: the API server recovers from it.
	defer func() {
		if cause := recover(); cause != nil {
			reply = answer{ID: q.ID, Expr: q.Expr, Outcome: "panic", Error: fmt.Sprint(cause)}
		}
	}()
	if q.Env == "base" {
		reply = q.answerBare()
	} else {
		reply = q.answerPolicy()
	}
	reply.ID, reply.Expr = q.ID, q.Expr
	return reply
}

func refuse(outcome string, err error) answer {
	return answer{Outcome: outcome, Error: err.Error()}
}

// mode is the environment in which the expression is compiled.
func (q *question) mode() environment.Type {
	stored := q.Env != "base"
	if q.Stored != nil {
		stored = *q.Stored
	}
	if stored {
		return environment.StoredExpressions
	}
	return environment.NewExpressions
}

func (q *question) environments() (*environment.EnvSet, error) {
	release := environment.DefaultCompatibilityVersion()
	if q.Version != "" {
		parsed, err := version.ParseGeneric(q.Version)
		if err != nil {
			return nil, err
		}
		release = version.MajorMinor(parsed.Major(), parsed.Minor())
	}
	return environment.MustBaseEnvSet(release), nil
}

var celTypes = map[string]*cel.Type{
	"bool": cel.BoolType, "bytes": cel.BytesType, "double": cel.DoubleType, "duration": cel.DurationType, "int": cel.IntType,
	"list": cel.ListType(cel.DynType), "map": cel.MapType(cel.StringType, cel.DynType), "string": cel.StringType,
	"timestamp": cel.TimestampType, "uint": cel.UintType,
}

// bareEnvs are the environments of "base" that were made already, by what is declared in them.
var bareEnvs = map[string]*cel.Env{}

func (q *question) bareEnv() (*cel.Env, error) {
	declared := map[string]string{}
	for name := range q.Vars {
		declared[name] = q.VarTypes[name]
	}
	// Go writes maps in the order of their keys.
	key, err := json.Marshal([]any{q.Version, q.mode(), declared})
	if err != nil {
		return nil, err
	}
	if env, known := bareEnvs[string(key)]; known {
		return env, nil
	}
	set, err := q.environments()
	if err != nil {
		return nil, err
	}
	options := environment.VersionedOptions{IntroducedVersion: version.MajorMinor(1, 0)}
	for name, of := range declared {
		celType := celTypes[of]
		if celType == nil {
			celType = cel.DynType
		}
		options.EnvOptions = append(options.EnvOptions, cel.Variable(name, celType))
	}
	if set, err = set.Extend(options); err != nil {
		return nil, err
	}
	env, err := set.Env(q.mode())
	if err == nil {
		bareEnvs[string(key)] = env
	}
	return env, err
}

func (q *question) answerBare() answer {
	env, err := q.bareEnv()
	if err != nil {
		return refuse("bad_input", err)
	}
	values := map[string]any{}
	for name, value := range q.Vars {
		if values[name], err = converted(value, q.VarTypes[name]); err != nil {
			return refuse("bad_input", err)
		}
	}
	checked, issues := env.Compile(q.Expr)
	if issues.Err() != nil {
		return refuse("compile_error", issues.Err())
	}
	program, err := env.Program(checked)
	if err != nil {
		return refuse("compile_error", err)
	}
	result, details, err := program.Eval(values)
	reply := outcome(result, err)
	reply.OutputType = checked.OutputType().String()
	if details != nil && details.ActualCost() != nil {
		cost := int64(*details.ActualCost())
		reply.Cost = &cost
	}
	return reply
}
