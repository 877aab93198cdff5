package main

import (
	"os"
	"path/filepath"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/hook"
)

// hookSetting is one of hooks.
type hookSetting struct {
	hook.Hook
	ca string
}

const hooksForm = "hooks: {pager: {url: https://hooks.example.com/writ, events: [controlPlane.approval.requested], secret: pager-key}}"

// fillHooks reads `hooks` strictly. What its members mean is judged where the home opens.
func (c *config) fillHooks() error {
	return c.objects("hooks", hooksForm, func(name string, m *members) {
		m.only([]string{"url", "events", "secret", "tenant", "allowPrivate", "link", "ca"})
		c.Hooks = append(c.Hooks, hookSetting{ca: m.text("ca"), Hook: hook.Hook{
			Name: name, URL: m.text("url"), Events: m.texts("events"), Secret: m.text("secret"), Tenant: writ.TenantID(m.text("tenant")),
			AllowPrivate: m.flag("allowPrivate"), Link: m.text("link"),
		}})
	})
}

// texts is a list of them.
func (m *members) texts(name string) []string {
	value, ok := m.have[name]
	if !ok {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		m.fail(name, "want a list of texts")
	}
	var out []string
	for _, one := range list {
		text, ok := one.(string)
		if !ok || text == "" {
			m.fail(name, "want a list of texts")
		}
		out = append(out, text)
	}
	return out
}

func (m *members) flag(name string) bool {
	value, ok := m.have[name]
	if !ok {
		return false
	}
	set, ok := value.(bool)
	if !ok {
		m.fail(name, "want true or false")
	}
	return set
}

// wireHooks makes who tells others of events. Nothing is sent before the daemon serves.
func (h *home) wireHooks() error {
	hooks := make([]hook.Hook, 0, len(h.config.Hooks))
	for _, s := range h.config.Hooks {
		if s.ca != "" {
			file := h.config.homeFile(s.ca)
			pem, err := os.ReadFile(filepath.Clean(file))
			if err != nil {
				return usage("hooks.%s.ca: %s: %s", s.Name, file, plainCause(err))
			}
			s.CA = pem
		}
		hooks = append(hooks, s.Hook)
	}
	var err error
	h.hooks, err = hook.New(hook.Options{
		Hooks: hooks, Store: h.journal, Notes: h.journal, Journal: h.journal, Traces: h.journal, Tip: h.journal.Last,
		Secrets: h.secrets, Clock: h.clock, Logger: h.log.Named("hook"),
	})
	return err
}
