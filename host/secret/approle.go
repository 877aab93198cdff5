package secret

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/writ-run/writ"
)

// AppRole is how a machine logs in to Vault.
type AppRole struct {
	Mount        string // "": approle
	RoleID       string // no secret by itself
	SecretIDFile string // read for each login
}

// defaultLease is how long a token counts that names no time of its own.
const defaultLease = time.Hour

// login keeps the token that a role got.
type login struct {
	role AppRole
	turn chan struct{} // holds one: whose turn it is, and who guards what is below

	have  string
	until writ.Time
}

func (r *AppRole) login() (*login, error) {
	role := *r
	role.Mount = cmp.Or(role.Mount, "approle")
	if !plainName(role.Mount) || role.RoleID == "" || role.SecretIDFile == "" {
		return nil, writ.Errorf(writ.CodeInvalid, "vault provider", "roleId: a role, a file with its secret id or its mount is missing or wrong").
			WithFix("give roleId and secretIdFile; see `vault read auth/approle/role/NAME/role-id`")
	}
	return &login{role: role, turn: make(chan struct{}, 1)}, nil
}

// token returns the token that is there, or a new one where there is none, its time is
// nearly over, or it is the one that was refused.
func (l *login) token(ctx context.Context, v *Vault, refused string) (string, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return "", providerError(writ.CodeTimeout, "did not come in time", "try again")
	}
	if l.have != "" && l.have != refused && v.opts.Clock.Now() < l.until {
		return l.have, nil
	}
	l.have = ""
	secretID, err := readToken(l.role.SecretIDFile)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]string{"role_id": l.role.RoleID, "secret_id": secretID})
	if err != nil {
		return "", providerError(writ.CodeInvalid, "has a role that cannot be written as JSON", "correct roleId in the configuration")
	}
	defer clear(body)
	raw, err := v.ask(ctx, http.MethodPost, "auth/"+l.role.Mount+"/login", "", body)
	defer clear(raw)
	if writ.IsCode(err, writ.CodeForbidden) {
		return "", providerError(writ.CodeForbidden, "refuses the login of this role", "see whether the secret id is valid: `vault write -f auth/"+l.role.Mount+"/role/NAME/secret-id` makes another")
	}
	if err != nil {
		return "", err
	}
	var answer struct {
		Auth struct {
			ClientToken   string `json:"client_token"`
			LeaseDuration int64  `json:"lease_duration"`
		} `json:"auth"`
	}
	if err := decodeAnswer(raw, &answer); err != nil {
		return "", err
	}
	if !validToken(answer.Auth.ClientToken) {
		return "", providerError(writ.CodeUnavailable, "answers a login without a token", "see whether the URL is that of Vault")
	}
	l.have, l.until = answer.Auth.ClientToken, v.opts.Clock.Now().Add(usable(answer.Auth.LeaseDuration))
	return l.have, nil
}

// usable is how long a token of so many seconds is used: a fifth of its time is left
// for the requests on their way.
func usable(seconds int64) time.Duration {
	lease := defaultLease
	if limit := int64(defaultLease / time.Second); seconds > 0 && seconds < limit {
		lease = time.Duration(seconds) * time.Second
	}
	return lease * 4 / 5
}
