package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/contract"
)

// loginWait is how long the browser may take, as the host has it.
const loginWait = 10 * time.Minute

func (a *app) loginCommand() *cobra.Command {
	var noBrowser bool
	c := &cobra.Command{
		Use: "login", Short: "Log in at the OpenID provider of a daemon", Args: cobra.NoArgs,
		Long: `Opens the browser at the provider that the daemon is configured with (oidc), and
keeps the session that it gives, for this server alone, until it ends. Commands
use it instead of the home's token; writ logout ends it.`,
		Example: "  writ login\n  writ --server https://writ.example.com login\n  writ login --no-browser      prints where to go; what the browser ends at may be pasted",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.login(cmd.Context(), noBrowser)
		},
	}
	c.Flags().BoolVar(&noBrowser, "no-browser", false, "print the address instead of opening a browser")
	return c
}

func (a *app) login(ctx context.Context, noBrowser bool) error {
	client, err := a.loginClient()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, loginWait)
	defer cancel()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return writ.Errorf(writ.CodeUnavailable, "login", "no port on 127.0.0.1: %w", err)
	}
	random := make([]byte, sha256.Size)
	if _, err := io.ReadFull(entropy, random); err != nil {
		return errors.Join(writ.Errorf(writ.CodeInternal, "login", "no randomness: %w", err), listener.Close())
	}
	verifier := base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(verifier))
	request := &writ.LoginRequest{
		Redirect: "http://" + listener.Addr().String() + callbackPath, Challenge: base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	start, err := client.Begin(ctx, request)
	if err == nil {
		err = checkStart(start, request)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	a.showLogin(start.URL, noBrowser)
	pasted := io.Reader(strings.NewReader(""))
	if noBrowser {
		pasted = a.in
	}
	answer, err := awaitAnswer(ctx, listener, start.State, pasted)
	if err != nil {
		return err
	}
	answer.Verifier = verifier
	session, err := client.Finish(ctx, answer)
	if err != nil {
		return err
	}
	if err := a.config.saveSession(&savedSession{Token: session.Token, Principal: session.PrincipalID, ExpiresAt: session.ExpiresAt}); err != nil {
		return err
	}
	session.Token = "" // it is in the file; a log of the output must not hold it
	return a.print(session, func(t *table) {
		t.pair("logged in as", strings.TrimSpace(string(session.PrincipalID)+"  "+session.Name))
		t.pair("tenant", string(session.Tenant))
		t.pair("session", session.SessionID)
		t.pair("until", session.ExpiresAt.String())
	})
}

// loginClient reaches a daemon, without any credential.
func (a *app) loginClient() (*api.Client, error) {
	options, err := a.clientOptions("")
	if err != nil {
		return nil, err
	}
	if options.URL == "" && options.Socket == "" {
		return nil, writ.Errorf(writ.CodeUnavailable, "login", "no daemon runs for %s", a.config.Home).
			WithFix("start `writ serve` with oidc configured, or name a daemon with --server")
	}
	return api.NewClient(options)
}

// checkStart holds the host to what was asked: what it names is opened in a
// browser, and what comes back is believed by its state.
func checkStart(start *writ.LoginStart, request *writ.LoginRequest) error {
	u, err := url.Parse(start.URL)
	if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && start.State != "" {
		q := u.Query()
		if q.Get("state") == start.State && q.Get("redirect_uri") == request.Redirect && q.Get("code_challenge") == request.Challenge && q.Get("code_challenge_method") == "S256" {
			return nil
		}
	}
	return writ.Errorf(writ.CodeUnavailable, "login", "the host sends the browser to an address that is not of this login").WithFix("check the server's address")
}

func (a *app) showLogin(address string, noBrowser bool) {
	if !noBrowser && openBrowser(address) == nil {
		_, _ = fmt.Fprintf(a.err, "Log in with the browser that has opened, or at\n  %s\n", clean(address))
		return
	}
	_, _ = fmt.Fprintf(a.err, "Open this address and log in:\n  %s\n", clean(address))
	if noBrowser {
		_, _ = fmt.Fprintf(a.err, "If that browser is on another machine, paste the address at which it ends here.\n")
	}
}

// openBrowser starts the user's browser and does not wait for it.
func openBrowser(address string) error {
	command := []string{"xdg-open"}
	switch chosen := os.Getenv("BROWSER"); {
	case chosen != "":
		command = []string{chosen}
	case runtime.GOOS == "darwin":
		command = []string{"open"}
	case runtime.GOOS == "windows":
		command = []string{filepath.Join(os.Getenv("SYSTEMROOT"), "System32", "rundll32.exe"), "url.dll,FileProtocolHandler"}
	}
	browser := exec.Command(command[0], append(command[1:], address)...)
	if err := browser.Start(); err != nil {
		return err
	}
	go func() { _ = browser.Wait() }() // the address is shown: what became of it does not matter
	return nil
}

const callbackPath = "/callback"

// arrival is an answer, or why there is none.
type arrival struct {
	answer *writ.LoginAnswer
	err    error
}

// awaitAnswer waits for the browser on the listener, or for its last address on
// a line of pasted. What has another state is passed over: it is of somebody else.
func awaitAnswer(ctx context.Context, listener net.Listener, state string, pasted io.Reader) (*writ.LoginAnswer, error) {
	arrived := make(chan arrival, 1)
	arrive := func(query url.Values) bool {
		if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 {
			return false
		}
		select {
		case arrived <- answerOf(query):
		default: // the first counts
		}
		return true
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		if r.Method != http.MethodGet || r.URL.Path != callbackPath || !arrive(r.URL.Query()) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "This is of no login that is under way.\n") // the browser may have gone
			return
		}
		_, _ = io.WriteString(w, "Back to the terminal: it says whether you are logged in. This window can be closed.\n")
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	go func() {
		for lines := bufio.NewScanner(pasted); lines.Scan(); {
			if u, err := url.Parse(strings.TrimSpace(lines.Text())); err == nil && arrive(u.Query()) {
				return
			}
		}
	}()
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(ending) != nil {
			_ = server.Close() // a browser that holds its connection open is not waited for
		}
		<-served
	}()
	select {
	case a := <-arrived:
		return a.answer, a.err
	case <-ctx.Done():
		return nil, writ.Errorf(writ.CodeTimeout, "login", "the browser did not come back within %s", loginWait).WithFix("try again with `writ login`, or `writ login --no-browser`")
	}
}

func answerOf(query url.Values) arrival {
	if said := query.Get("error"); said != "" {
		text := strings.TrimSpace(said + " " + query.Get("error_description"))
		return arrival{err: writ.Errorf(writ.CodeUnauthenticated, "login", "the provider says %s", writ.Clip(text, 300)).WithFix("try again with `writ login`")}
	}
	return arrival{answer: &writ.LoginAnswer{State: query.Get("state"), Code: query.Get("code"), Issuer: query.Get("iss")}}
}

func (a *app) logoutCommand() *cobra.Command {
	in := &contract.SessionEndInput{}
	c := &cobra.Command{
		Use: "logout", Short: "End the session of writ login", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.config.sessions()
			if err != nil {
				return err
			}
			s, ok := all[a.config.serverKey()]
			if !ok {
				return writ.Errorf(writ.CodeConflict, "logout", "nobody is logged in at %s", a.config.serverKey()).WithFix("see `writ login`; a token is ended with `writ token revoke`")
			}
			out := &contract.SessionEndOutput{Result: contract.Result{Status: "ended before", ChangedAt: s.ExpiresAt}, PrincipalID: s.Principal}
			if a.clock.Now() < s.ExpiresAt {
				a.config.Token = s.Token
				ended, err := call(cmd.Context(), a, contract.SessionEnd, in)
				if err != nil && !writ.IsCode(err, writ.CodeUnauthenticated) {
					return err
				}
				if err == nil {
					out = ended
				}
			}
			if err := a.config.saveSession(nil); err != nil {
				return err
			}
			return a.printResult(out, out.Result, "session of", string(s.Principal))
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}
