package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/budget"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/drift"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/freeze"
	"github.com/writ-run/writ/hook"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/secret"
	"github.com/writ-run/writ/host/toolbox"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/plan"
	"github.com/writ-run/writ/policy"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/trace"
)

// home is an open $WRIT_HOME: every organ, wired.
type home struct {
	config     *config
	log        hclog.Logger
	clock      writ.Clock
	started    writ.Time
	journal    *trace.Journal
	identity   *identity.Service
	policies   *policy.Service
	registry   *registry.Registry
	sandbox    writ.Sandbox
	planner    *plan.Planner
	secrets    *secret.Store
	engine     *engine.Engine
	drift      *drift.Service
	freezes    *freeze.Service
	hooks      *hook.Service
	budgets    *budget.Service
	channels   *channel.Service
	baseline   *drift.Baseline
	sampler    *drift.Sampler
	dispatcher *contract.Dispatcher
	poisoned   chan error                                    // the writer failed: the process must end
	tenants    []writ.TenantID                               // at the start: whose executions are resumed
	tls        *serverTLS                                    // of the daemon's HTTP listener; nil: plain, or no daemon
	heard      hearing                                       // from guests, where somebody listens
	stage      stage                                         // of the cases of a rehearsal
	decided    atomic.Pointer[func(contract.ApprovalSample)] // who counts decisions, where somebody does
	refused    atomic.Pointer[func(writ.BudgetUse)]          // who counts what budgets refuse, where somebody does
}

// observe is engine.Options.Observe.
func (h *home) observe(s contract.ApprovalSample) {
	if count := h.decided.Load(); count != nil {
		(*count)(s)
	}
}

// firstPartyKey is the PEM of the key that signs the first-party skills, base64;
// set by the build (-ldflags -X main.firstPartyKey=...).
var firstPartyKey string

// openHome opens everything. On an error nothing stays open.
func openHome(ctx context.Context, c *config, log hclog.Logger, clock writ.Clock) (*home, error) {
	keys, err := readKeys(c.Home)
	if err != nil {
		return nil, err
	}
	h := &home{config: c, log: log, clock: clock, started: clock.Now(), poisoned: make(chan error, 1)}
	h.journal, err = trace.Open(ctx, trace.Options{
		Dir: c.Home, Clock: clock, Signer: keys.host, Logger: log.Named("trace"),
		Retention: trace.Retention{Payloads: c.Payloads, Entries: c.Entries}, Attach: h.attach, Keep: h.keep,
		OnPoison: func(err error) {
			select {
			case h.poisoned <- err:
			default:
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if err := h.wire(ctx, keys); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	return h, nil
}

// wire makes the organs, those first that others need.
func (h *home) wire(ctx context.Context, keys *homeKeys) error {
	firstParty, err := decodeFirstPartyKey(firstPartyKey)
	if err != nil {
		return err
	}
	if err := h.wireIdentity(ctx, keys); err != nil {
		return err
	}
	if err := h.wirePolicies(ctx); err != nil {
		return err
	}
	if err := h.wireRegistry(firstParty); err != nil {
		return err
	}
	if err := h.wireBudgets(); err != nil {
		return err
	}
	if err := h.wireFreezes(); err != nil {
		return err
	}
	// A crash may have left tenants untold: nothing goes on under what was before.
	if _, err := h.identity.Announce(ctx); err != nil {
		return err
	}
	if err := h.wireSecrets(ctx); err != nil {
		return err
	}
	if h.planner, err = plan.New(plan.Options{}); err != nil {
		return err
	}
	if err := h.wireSandbox(keys); err != nil {
		return err
	}
	tools, err := h.toolbox()
	if err != nil {
		return err
	}
	if err := h.wireEngine(tools); err != nil {
		return err
	}
	if err := h.wireHooks(); err != nil {
		return err
	}
	if err := h.wireDrift(); err != nil {
		return err
	}
	if err := h.wireChannels(); err != nil {
		return err
	}
	h.bind(h.dispatcher)
	return nil
}

func (h *home) wireIdentity(ctx context.Context, keys *homeKeys) (err error) {
	options := identity.Options{Store: h.journal, Journal: h.journal, Clock: h.clock, Entropy: entropy, Owner: uint32(os.Getuid()), HostKey: keys.host}
	if h.config.TLS.ClientCA != "" {
		options.Certificates = h.config.clientCertificates()
		options.Certificates.Roots = func() *x509.CertPool { return h.tls.roots() }
	}
	if h.identity, err = identity.New(options); err != nil {
		return err
	}
	h.tenants, err = h.identity.Tenants(ctx)
	return err
}

func (h *home) wirePolicies(ctx context.Context) error {
	signers, err := h.config.policySigners()
	if err != nil {
		return err
	}
	h.policies, err = policy.Open(ctx, policy.Options{
		Dir: filepath.Join(h.config.Home, "policy"), Store: h.journal, Journal: h.journal, Traces: h.journal, Clock: h.clock,
		Keys: signers,
	})
	return err
}

func (h *home) wireRegistry(firstParty []byte) error {
	// Whoever may verify a skill can name any host: who is not in the configuration
	// must be public.
	fetcher, err := h.config.remote(nil)
	if err != nil {
		return err
	}
	h.registry, err = registry.New(registry.Options{
		Dir: filepath.Join(h.config.Home, "skills"), Metadata: filepath.Join(h.config.Home, "tuf"), Store: h.journal, Journal: h.journal,
		Inspector: host.NewInspector(), Clock: h.clock, FirstParty: firstParty, Fetcher: fetcher, Carried: carriedBundle,
		Ceiling:     abi.Limits{Memory: host.MaxMemory, Time: host.MaxTime, Calls: host.MaxCalls, Output: host.MaxOutput},
		RefuseStale: h.config.StaleFeeds == staleRefuse,
	})
	return err
}

func (h *home) wireSecrets(ctx context.Context) error {
	elsewhere, err := h.config.secretReferences(h.clock)
	if err != nil {
		return err
	}
	h.secrets, err = secret.Open(ctx, secret.Options{
		Home: h.config.Home, Clock: h.clock, Journal: h.journal, KeepOld: h.config.Secrets.keepOld, Elsewhere: elsewhere,
	})
	return err
}

func (h *home) wireSandbox(keys *homeKeys) error {
	options, err := sandboxOptions(filepath.Join(h.config.Home, "cache"), keys.cache, h.config.CompilerWrapper)
	if err != nil {
		return err
	}
	options.GuestOutput = h.hear
	options.OnTampered = func(module writ.Digest) {
		h.log.Error("a compiled module was altered on disk and has been removed", "module", module)
	}
	h.sandbox, err = newSandbox(h.config, options)
	return err
}

// newSandbox is the one that the configuration names.
func newSandbox(c *config, options host.Options) (writ.Sandbox, error) {
	if c.Sandbox == "extism" {
		return host.NewExtismSandbox(options)
	}
	return host.NewSandbox(options)
}

func (h *home) toolbox() (*toolbox.Toolbox, error) {
	private, err := h.config.private()
	if err != nil {
		return nil, err
	}
	return toolbox.New(toolbox.Options{
		Store: h.journal, Secrets: h.secrets, Logger: h.log.Named("skill"), Home: h.config.Home,
		FileRoot: h.config.FileRoot, AllowPrivate: private, Upstreams: h.config.Upstreams,
		Script: h.called, Messenger: speaking{h},
	})
}

// private are the addresses in the house that http.allowPrivate names.
func (c *config) private() ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, len(c.Private))
	for i, text := range c.Private {
		var err error
		if prefixes[i], err = netip.ParsePrefix(text); err != nil {
			return nil, usage("http.allowPrivate: %q is not a CIDR such as 10.0.0.0/8", text)
		}
	}
	return prefixes, nil
}

func decodeFirstPartyKey(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	pem, err := decodeBase64(text)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "first-party key", "this binary was built with a key that does not decode")
	}
	return pem, nil
}

func (h *home) close(ctx context.Context) error {
	var errs []error
	if h.engine != nil {
		errs = append(errs, h.engine.Close(ctx))
	}
	if h.sandbox != nil {
		errs = append(errs, h.sandbox.Close(ctx))
	}
	if h.secrets != nil {
		errs = append(errs, h.secrets.Tidy(ctx))
	}
	errs = append(errs, h.journal.Close(ctx))
	return errors.Join(errs...)
}
