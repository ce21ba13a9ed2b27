package steps

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
	"gopkg.in/yaml.v3"
)

// contexts are the names an expression may begin with.
var contexts = []string{
	"github", "gitea", "env", "vars", "secrets", "needs", "matrix", "strategy", "steps", "inputs", "runner", "job", "infinity", "nan",
}

// functions are the expression functions, lower case, with the least and the
// most arguments each takes; most -1 is any number.
var functions = map[string]struct{ least, most int }{
	"contains": {2, 2}, "startswith": {2, 2}, "endswith": {2, 2},
	"format": {1, -1}, "join": {1, 2}, "tojson": {1, 1}, "fromjson": {1, 1}, "hashfiles": {1, -1},
	"always": {0, 0}, "success": {0, 0}, "failure": {0, 0}, "cancelled": {0, 0},
}

// span is an expression in a string: text[start:end] is between ${{ and }}.
type span struct{ start, end int }

// spans finds the expressions of a string. The lexer, not a search for }},
// finds an expression's end, since strings in it may hold }}.
func spans(text string) ([]span, error) {
	var found []span
	for at := 0; ; {
		open := strings.Index(text[at:], "${{")
		if open < 0 {
			return found, nil
		}
		start := at + open + len("${{")
		_, length, lexErr := actionlint.LexExpression(text[start:])
		if lexErr != nil {
			return nil, lexicalError(lexErr)
		}
		end := start + length - len("}}")
		found = append(found, span{start, end})
		at = start + length
	}
}

// lexicalError puts the two usual typing errors plainly.
func lexicalError(err *actionlint.ExprError) error {
	switch {
	case strings.Contains(err.Message, "unexpected EOF"):
		return errors.New("an expression isn't closed: }} or a quote is missing")
	case strings.Contains(err.Message, `unexpected character '"'`):
		return errors.New("strings in an expression need single quotes")
	}
	return fmt.Errorf("an expression has a wrong character: %s", err.Message)
}

// checkExpression parses what is between ${{ and }} and looks at its names, so
// that a typing error is found before anything runs; act itself would go on
// with an empty string, or panic.
func checkExpression(text string) error {
	if _, _, lexErr := actionlint.LexExpression(text + "}}"); lexErr != nil {
		return lexicalError(lexErr)
	}
	node, parseErr := actionlint.NewExprParser().Parse(actionlint.NewExprLexer(text + "}}"))
	if parseErr != nil {
		return errors.New(parseErr.Message)
	}
	var problem error
	actionlint.VisitExprNode(node, func(node, _ actionlint.ExprNode, entering bool) {
		if !entering || problem != nil {
			return
		}
		switch node := node.(type) {
		case *actionlint.VariableNode:
			if !slices.Contains(contexts, strings.ToLower(node.Name)) {
				problem = fmt.Errorf("there is no context %q; there are %s", node.Name, strings.Join(contexts[:len(contexts)-2], ", "))
			}
		case *actionlint.FuncCallNode:
			problem = checkCall(node)
		}
	})
	return problem
}

func checkCall(call *actionlint.FuncCallNode) error {
	arity, ok := functions[strings.ToLower(call.Callee)]
	switch {
	case !ok:
		return fmt.Errorf("there is no function %s()", call.Callee)
	case len(call.Args) < arity.least, arity.most >= 0 && len(call.Args) > arity.most:
		return fmt.Errorf("%s() doesn't take %d arguments", call.Callee, len(call.Args))
	}
	return nil
}

// maxScalar bounds a string, and so the depth of an expression: its parser
// calls itself, and a stack that overflows ends the process.
const maxScalar = 256 << 10

// expressions checks every expression of a document.
func (f *findings) expressions(node *yaml.Node) {
	eachScalar(node, func(scalar *yaml.Node, condition bool) {
		if len(scalar.Value) > maxScalar {
			f.add(scalar, "a value is longer than %d kB", maxScalar>>10)
			return
		}
		if condition && !strings.Contains(scalar.Value, "${{") {
			if scalar.Value != "" {
				f.expression(scalar, scalar.Value)
			}
			return
		}
		found, err := spans(scalar.Value)
		if err != nil {
			f.add(scalar, "%v", err)
			return
		}
		for _, s := range found {
			f.expression(scalar, scalar.Value[s.start:s.end])
		}
	})
}

func (f *findings) expression(node *yaml.Node, text string) {
	if err := checkExpression(text); err != nil {
		f.add(node, "expression %q: %v", strings.TrimSpace(text), err)
	}
}

// rewriteGitea turns the context gitea into github in all expressions, the only
// one of the two that act knows.
func rewriteGitea(node *yaml.Node) {
	eachScalar(node, func(scalar *yaml.Node, condition bool) {
		if !strings.Contains(strings.ToLower(scalar.Value), "gitea") {
			return
		}
		if condition && !strings.Contains(scalar.Value, "${{") {
			scalar.Value = renameContext(scalar.Value)
			return
		}
		found, err := spans(scalar.Value)
		if err != nil {
			return
		}
		for _, s := range slices.Backward(found) {
			scalar.Value = scalar.Value[:s.start] + renameContext(scalar.Value[s.start:s.end]) + scalar.Value[s.end:]
		}
	})
}

// renameContext renames the identifier gitea where it begins a path: not a
// property (.gitea) and not in a string.
func renameContext(expression string) string {
	tokens, _, lexErr := actionlint.LexExpression(expression + "}}")
	if lexErr != nil {
		return expression
	}
	for i, token := range slices.Backward(tokens) {
		property := i > 0 && tokens[i-1].Kind == actionlint.TokenKindDot
		if token.Kind == actionlint.TokenKindIdent && strings.EqualFold(token.Value, "gitea") && !property {
			expression = expression[:token.Offset] + "github" + expression[token.Offset+len("gitea"):]
		}
	}
	return expression
}

// eachScalar visits every string of a document; condition tells the value of an
// if key, which is an expression even without ${{ }}.
func eachScalar(node *yaml.Node, visit func(scalar *yaml.Node, condition bool)) {
	var walk func(node *yaml.Node, condition bool)
	walk = func(node *yaml.Node, condition bool) {
		switch node.Kind {
		case yaml.ScalarNode:
			visit(node, condition)
		case yaml.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				key := node.Content[i].Value
				walk(node.Content[i+1], key == "if" || key == "pre-if" || key == "post-if")
			}
		default:
			for _, part := range node.Content {
				walk(part, false)
			}
		}
	}
	walk(node, false)
}
