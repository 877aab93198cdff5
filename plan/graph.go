package plan

import (
	"container/heap"
	"slices"
	"strings"
)

// sort puts the steps in topological order, ties by name, and names the cycles
// where there is none.
func (c *compiler) sort() {
	waits := map[string]int{}
	dependants := map[string][]string{}
	ready := &names{}
	for name, w := range c.byName {
		for _, need := range w.needs {
			if c.byName[need] != nil {
				waits[name]++
				dependants[need] = append(dependants[need], name)
			}
		}
		if waits[name] == 0 {
			heap.Push(ready, name)
		}
	}
	for done := 0; done < len(c.byName); {
		for ready.Len() > 0 {
			name := heap.Pop(ready).(string)
			done++
			c.order = append(c.order, c.byName[name])
			for _, next := range dependants[name] {
				if waits[next]--; waits[next] == 0 {
					heap.Push(ready, next)
				}
			}
			delete(waits, name)
		}
		if done == len(c.byName) {
			return
		}
		// Name one cycle, cut it at its first step and look for the next.
		cycle := c.cycle(waits)
		first := c.byName[cycle[0]]
		at := first.draft.at("needs")
		c.problems.add(at, found(CodeCycle, "remove one of the references", "the steps wait for each other: %s", strings.Join(append(cycle, cycle[0]), " -> ")))
		for _, name := range cycle {
			waits[name] = 0
		}
		heap.Push(ready, cycle[0])
		for _, name := range cycle[1:] {
			heap.Push(ready, name)
		}
		for _, name := range cycle {
			dependants[name] = slices.DeleteFunc(dependants[name], func(next string) bool { return slices.Contains(cycle, next) })
		}
	}
}

// cycle walks from the first step that still waits along its needs until a step
// comes again. The cycle begins with its first name.
func (c *compiler) cycle(waits map[string]int) []string {
	var start []string
	for name, left := range waits {
		if left > 0 {
			start = append(start, name)
		}
	}
	name := slices.Min(start)
	var path []string
	for !slices.Contains(path, name) {
		path = append(path, name)
		for _, need := range c.byName[name].needs {
			if waits[need] > 0 {
				name = need
				break
			}
		}
	}
	cycle := path[slices.Index(path, name):]
	first := slices.Index(cycle, slices.Min(cycle))
	return slices.Concat(cycle[first:], cycle[:first])
}

// names is a heap of step names.
type names []string

// Len implements heap.Interface.
func (n names) Len() int { return len(n) }

// Less implements heap.Interface.
func (n names) Less(i, j int) bool { return n[i] < n[j] }

// Swap implements heap.Interface.
func (n names) Swap(i, j int) { n[i], n[j] = n[j], n[i] }

// Push implements heap.Interface.
func (n *names) Push(x any) { *n = append(*n, x.(string)) }

// Pop implements heap.Interface.
func (n *names) Pop() any {
	last := (*n)[len(*n)-1]
	*n = (*n)[:len(*n)-1]
	return last
}
