package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// expression is a source whose value may be of any type.
type expression string

func (e expression) GetExpression() string  { return string(e) }
func (expression) ReturnTypes() []*cel.Type { return []*cel.Type{cel.AnyType} }

// variable is a named expression.
type variable struct {
	expression
	name string
}

func (v variable) GetName() string { return v.name }

// compilers are the compilers without variables that were made already, by release.
var compilers = map[string]*plugincel.CompositedCompiler{}

func (q *question) compiler() (*plugincel.CompositedCompiler, error) {
	if known := compilers[q.Version]; known != nil && len(q.Variables) == 0 {
		return known, nil
	}
	set, err := q.environments()
	if err != nil {
		return nil, err
	}
	compiler, err := plugincel.NewCompositedCompiler(set)
	if err == nil && len(q.Variables) == 0 {
		compilers[q.Version] = compiler
	}
	return compiler, err
}

func (q *question) answerPolicy() answer {
	compiler, err := q.compiler()
	if err != nil {
		return refuse("bad_input", err)
	}
	declarations := plugincel.OptionalVariableDeclarations{HasParams: !q.NoParams, HasAuthorizer: true}
	for _, source := range q.Variables {
		named := variable{expression(source.Expression), source.Name}
		compiler.CompileAndStoreVariable(named, declarations, q.mode())
	}
	declarations.HasPatchTypes = q.Env == "map"
	compiled := compiler.CompileCELExpression(expression(q.Expr), declarations, q.mode())
	if compiled.Error != nil {
		return answer{Outcome: "compile_error", Error: compiled.Error.Error()}
	}
	subject, err := q.subject()
	if err != nil {
		return refuse("bad_input", err)
	}
	results, left, err := subject.evaluate(compiler, []plugincel.CompilationResult{compiled}, q.Env == "map")
	var reply answer
	switch {
	case err != nil:
		reply = refuse("runtime_error", err)
	case len(results) != 1:
		reply = refuse("bad_input", fmt.Errorf("%d results", len(results)))
	default:
		reply = outcome(results[0].EvalResult, results[0].Error)
	}
	reply.OutputType = compiled.OutputType.String()
	if left >= 0 {
		cost := int64(celconfig.RuntimeCELCostBudget) - left
		reply.Cost = &cost
	}
	return reply
}

// subject is what a policy is asked about.
type subject struct {
	attributes *admission.VersionedAttributes
	request    *admissionv1.AdmissionRequest
	namespace  *corev1.Namespace
	bindings   plugincel.OptionalVariableBindings
}

func (s *subject) evaluate(compiler *plugincel.CompositedCompiler, compiled []plugincel.CompilationResult, mutates bool) (
	[]plugincel.EvaluationResult, int64, error) {
	ctx := compiler.CreateContext(context.Background())
	const budget = celconfig.RuntimeCELCostBudget
	if mutates {
		result, left, err := plugincel.NewMutatingEvaluator(compiled[0]).ForInput(ctx, s.attributes, s.request, s.bindings,
			s.namespace, budget)
		return []plugincel.EvaluationResult{result}, left, err
	}
	return plugincel.NewCondition(compiled).ForInput(ctx, s.attributes, s.request, s.bindings, s.namespace, budget)
}

func object(content map[string]any) runtime.Object {
	if content == nil {
		return nil
	}
	return &unstructured.Unstructured{Object: content}
}

func (q *question) subject() (*subject, error) {
	var given admissionv1.AdmissionRequest
	if err := reread(q.Request, &given); err != nil {
		return nil, err
	}
	shown := &unstructured.Unstructured{Object: q.Object}
	operation := admission.Create
	switch {
	case q.Object == nil:
		operation, shown.Object = admission.Delete, q.OldObject
	case q.OldObject != nil:
		operation = admission.Update
	}
	kind := shown.GroupVersionKind()
	resource := kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")
	name, namespace := shown.GetName(), shown.GetNamespace()
	if given.Operation != "" {
		operation = admission.Operation(given.Operation)
	}
	if given.Kind.Kind != "" {
		kind = schema.GroupVersionKind(given.Kind)
	}
	if given.Resource.Resource != "" {
		resource = schema.GroupVersionResource(given.Resource)
	}
	if given.Name != "" {
		name = given.Name
	}
	if given.Namespace != "" {
		namespace = given.Namespace
	}
	who := &user.DefaultInfo{Name: given.UserInfo.Username, UID: given.UserInfo.UID, Groups: given.UserInfo.Groups,
		Extra: map[string][]string{}}
	for key, values := range given.UserInfo.Extra {
		who.Extra[key] = values
	}
	attributes := admission.NewAttributesRecord(object(q.Object), object(q.OldObject), kind, namespace, name, resource,
		given.SubResource, operation, nil, given.DryRun != nil && *given.DryRun, who)
	versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedKind: kind}
	if q.Object != nil {
		versioned.VersionedObject.Set(object(q.Object))
	}
	if q.OldObject != nil {
		versioned.VersionedOldObject.Set(object(q.OldObject))
	}
	request := plugincel.CreateAdmissionRequest(attributes, metav1.GroupVersionResource(resource), metav1.GroupVersionKind(kind))
	made := &subject{attributes: versioned, request: request}
	if q.NamespaceObject != nil {
		made.namespace = &corev1.Namespace{}
		if err := reread(q.NamespaceObject, made.namespace); err != nil {
			return nil, err
		}
		made.namespace = plugincel.CreateNamespaceObject(made.namespace)
	}
	made.bindings.VersionedParams = object(q.Params)
	made.bindings.Authorizer = q.Authz
	if q.Authz == nil {
		made.bindings.Authorizer = &ruleAuthorizer{}
	}
	return made, nil
}

// reread reads JSON content as a typed object.
func reread(content map[string]any, typed any) error {
	if content == nil {
		return nil
	}
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, typed)
}

// ruleAuthorizer answers by rules; the first that fits counts, and what is empty fits everything.
type ruleAuthorizer struct {
	Rules []struct {
		Decision, Reason, Error, Verb, Group, Resource, Subresource, Namespace, Name, Path, User string
	} `json:"rules"`
	Default string `json:"default"`
}

// Authorize implements authorizer.Authorizer.
func (r *ruleAuthorizer) Authorize(_ context.Context, asked authorizer.Attributes) (authorizer.Decision, string, error) {
	fits := func(wanted, given string) bool { return wanted == "" || wanted == given }
	for _, rule := range r.Rules {
		if asked.IsResourceRequest() && (rule.Path != "" || !fits(rule.Group, asked.GetAPIGroup()) ||
			!fits(rule.Resource, asked.GetResource()) || !fits(rule.Subresource, asked.GetSubresource()) ||
			!fits(rule.Namespace, asked.GetNamespace()) || !fits(rule.Name, asked.GetName())) {
			continue
		}
		if !asked.IsResourceRequest() && (rule.Resource != "" || !fits(rule.Path, asked.GetPath())) {
			continue
		}
		if !fits(rule.Verb, asked.GetVerb()) || !fits(rule.User, asked.GetUser().GetName()) {
			continue
		}
		var err error
		if rule.Error != "" {
			err = fmt.Errorf("%s", rule.Error)
		}
		return decision(rule.Decision), rule.Reason, err
	}
	return decision(r.Default), "", nil
}

func decision(word string) authorizer.Decision {
	switch word {
	case "allow":
		return authorizer.DecisionAllow
	case "deny":
		return authorizer.DecisionDeny
	}
	return authorizer.DecisionNoOpinion
}
