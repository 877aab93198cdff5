package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/writ-run/writ/identity/oidc/oidctest"
)

// openID is `openid`: an OpenID provider as a process of its own, on loopback,
// until it is killed. It says on its standard error where it listens.
func openID() {
	provider, err := oidctest.Start(map[string]map[string]any{
		"ada": {}, "bob": {"groups": []any{"ops"}}, "eve": {"groups": []any{"guests"}},
	}, "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "listening: address=%q\n", strings.TrimPrefix(provider.Issuer, "http://"))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	<-ctx.Done()
	stop()
	provider.Close()
}

// browser is `browser ADDRESS`: what a person with the name in $PERSON does there.
// With $PASTE it does not follow to loopback, and writes where it would go.
func browser() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	end, err := oidctest.Browse(ctx, os.Args[1], os.Getenv("PERSON"))
	if err != nil {
		log.Fatal(err)
	}
	if os.Getenv("PASTE") != "" {
		fmt.Println(end)
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, end, nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		log.Fatalf("%s: %v", answer.Status, err)
	}
}
