package plan

import "sync"

// cache keeps the values of pure functions, at most size of them; the oldest
// goes first. It decides nothing: without it everything is only slower.
type cache[V any] struct {
	size int

	mu     sync.Mutex
	values map[string]V
	order  []string // ring of keys, oldest at next
	next   int
}

func newCache[V any](size int) *cache[V] {
	return &cache[V]{size: size, values: map[string]V{}}
}

func (c *cache[V]) get(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[key]
	return v, ok
}

func (c *cache[V]) put(key string, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.values[key]; ok {
		c.values[key] = v
		return
	}
	c.values[key] = v
	if len(c.order) < c.size {
		c.order = append(c.order, key)
		return
	}
	delete(c.values, c.order[c.next])
	c.order[c.next] = key
	c.next = (c.next + 1) % c.size
}
