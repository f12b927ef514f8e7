package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

func outcome(value ref.Val, err error) answer {
	if err != nil {
		return refuse("runtime_error", err)
	}
	if types.IsError(value) {
		return refuse("runtime_error", value.(*types.Err))
	}
	return answer{Outcome: "value", Type: value.Type().TypeName(), Value: tagged(value)}
}

type tag = map[string]any

// tagged is a value as JSON that keeps its types.
func tagged(value ref.Val) any {
	switch value := value.(type) {
	case types.Null:
		return tag{"null": nil}
	case types.Bool:
		return tag{"bool": bool(value)}
	case types.Int:
		return tag{"int": strconv.FormatInt(int64(value), 10)}
	case types.Uint:
		return tag{"uint": strconv.FormatUint(uint64(value), 10)}
	case types.Double:
		number := float64(value)
		if math.IsNaN(number) || math.IsInf(number, 0) {
			return tag{"double": fmt.Sprint(number)}
		}
		return tag{"double": number}
	case types.String:
		return tag{"string": string(value)}
	case types.Bytes:
		return tag{"bytes": base64.StdEncoding.EncodeToString(value)}
	case types.Timestamp:
		return tag{"timestamp": value.UTC().Format(time.RFC3339Nano)}
	case types.Duration:
		return tag{"duration": value.Duration.String()}
	case *types.Type:
		return tag{"type": value.TypeName()}
	case *types.Optional:
		if !value.HasValue() {
			return tag{"optional": nil}
		}
		return tag{"optional": tagged(value.GetValue())}
	case traits.Mapper:
		return tag{"map": entries(value)}
	case traits.Lister:
		elements := []any{}
		for each := value.Iterator(); each.HasNext() == types.True; {
			elements = append(elements, tagged(each.Next()))
		}
		return tag{"list": elements}
	}
	text := fmt.Sprintf("%v", value.Value())
	return tag{"opaque": value.Type().TypeName(), "string": text}
}

// entries are in the order of their keys' text, because maps have none.
func entries(value traits.Mapper) (all [][2]any) {
	for each := value.Iterator(); each.HasNext() == types.True; {
		key := each.Next()
		all = append(all, [2]any{tagged(key), tagged(value.Get(key))})
	}
	sort.SliceStable(all, func(one, two int) bool { return text(all[one][0]) < text(all[two][0]) })
	return all
}

func text(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// converted is a JSON value as one of a type that JSON does not have.
func converted(value any, of string) (any, error) {
	number, isInt := value.(int64)
	switch {
	case of == "uint" && isInt:
		return uint64(number), nil
	case of == "double" && isInt:
		return float64(number), nil
	case of == "bytes":
		return base64.StdEncoding.DecodeString(fmt.Sprint(value))
	case of == "timestamp":
		return time.Parse(time.RFC3339Nano, fmt.Sprint(value))
	case of == "duration":
		return time.ParseDuration(strings.TrimSpace(fmt.Sprint(value)))
	}
	return value, nil
}
