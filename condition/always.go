package condition

import "github.com/rapport-engine/rapport"

// Always returns what the condition gives in env at any time, certain being
// false if that may depend on when. Scores count as uncertain.
func (c *Condition) Always(env Env) (holds, certain bool) {
	if c == nil || c.tree == nil {
		return true, true
	}
	return always(c.tree, env)
}

func always(n *node, env Env) (holds, certain bool) {
	switch n.kind {
	case kindNot:
		holds, certain = always(n.args[0], env)
		return !holds, certain
	case kindAnd, kindOr:
		// One part that is certainly against the group's rule decides.
		all := n.kind == kindAnd
		certain = true
		for _, a := range n.args {
			h, sure := always(a, env)
			if sure && h != all {
				return h, true
			}
			certain = certain && sure
		}
		return all, certain
	}
	fleeting := false
	n.walk(func(m *node) bool {
		fleeting = fleeting || m.kind == kindNow || m.kind == kindPath && m.root == Scores
		return m.kind != kindPerformed
	})
	switch {
	case !fleeting:
		return compileBool(n)(env, noItem), true
	case n.kind == kindEqual || n.kind == kindDiffers || n.kind == kindLess || n.kind == kindAtMost || n.kind == kindMore || n.kind == kindAtLeast:
		if isNull(n.args[0]) || isNull(n.args[1]) {
			return false, false
		}
		// What is missing makes a comparison false whatever the time.
		return false, missing(n.args[0], env) || missing(n.args[1], env)
	}
	return false, false
}

// missing reports whether a side of a comparison is null whatever the time.
func missing(n *node, env Env) bool {
	switch n.kind {
	case kindNow:
		return false
	case kindPath:
		return n.root != Scores && env.Value(n.root, n.path).IsNull()
	case kindPerformed:
		return env.Performed(n.agg).IsNull()
	case kindLiteral:
		return n.value.IsNull()
	case kindAdd, kindSubtract, kindMultiply, kindDivide:
		return missing(n.args[0], env) || missing(n.args[1], env)
	case kindNegate:
		return missing(n.args[0], env)
	case kindTime:
		return missing(n.args[0], env)
	}
	return false
}

// Requires returns the texts one of which the value at a path of a root must be
// for the condition to hold; ok is false if others will do as well.
func (c *Condition) Requires(root Root, path string) (texts []string, ok bool) {
	if c == nil || c.tree == nil {
		return nil, false
	}
	return requires(c.tree, root, path)
}

func requires(n *node, root Root, path string) (texts []string, ok bool) {
	is := func(n *node) bool { return n.kind == kindPath && n.root == root && joinPath(n.path) == path }
	text := func(n *node) bool {
		if n.kind != kindLiteral || n.value.Kind() != rapport.KindString {
			return false
		}
		texts = append(texts, n.value.Str())
		return true
	}
	switch n.kind {
	case kindAnd:
		for _, a := range n.args {
			if texts, ok = requires(a, root, path); ok {
				return texts, true
			}
		}
	case kindOr:
		for _, a := range n.args {
			more, ok := requires(a, root, path)
			if !ok {
				return nil, false
			}
			texts = append(texts, more...)
		}
		return texts, true
	case kindEqual:
		ok = is(n.args[0]) && text(n.args[1]) || is(n.args[1]) && text(n.args[0])
		return texts, ok
	case kindIn:
		if !is(n.args[0]) || n.args[1].kind != kindList {
			return nil, false
		}
		for _, e := range n.args[1].args {
			if !text(e) {
				return nil, false
			}
		}
		return texts, true
	}
	return nil, false
}
