package writ

import "context"

// LoginRequest begins a login at the OpenID provider.
type LoginRequest struct {
	// Redirect is where the browser ends: http on a loopback address with a port.
	Redirect string `json:"redirectUri"`
	// Challenge is the S256 code challenge (RFC 7636) of a verifier that only the
	// caller knows, so that nobody else can spend what the browser brings back.
	Challenge string `json:"codeChallenge"`
}

// LoginStart says where a person logs in.
type LoginStart struct {
	URL       string `json:"authorizationUrl"`
	State     string `json:"state"` // must come back with the code
	ExpiresAt Time   `json:"expiresAt"`
}

// LoginAnswer is what the browser brought back, with the verifier.
type LoginAnswer struct {
	State    string `json:"state"`
	Code     string `json:"code"`
	Verifier string `json:"codeVerifier"`
	Issuer   string `json:"iss,omitempty"` // RFC 9207
}

// LoginSession is what a login gives.
type LoginSession struct {
	SessionID   string      `json:"sessionId"`
	Token       string      `json:"token"` // shown once; only its hash is stored
	PrincipalID PrincipalID `json:"principalId"`
	Name        string      `json:"name,omitempty"`
	Tenant      TenantID    `json:"tenant"`
	ExpiresAt   Time        `json:"expiresAt"`
}

// Logins opens sessions for people whom an OpenID provider vouches for.
type Logins interface {
	// Begin is CodeInvalid for a redirect that is not loopback or a challenge that
	// is none, CodeUnavailable where the provider does not answer.
	Begin(ctx context.Context, in *LoginRequest) (*LoginStart, error)
	// Finish is CodeUnauthenticated for an answer that is not of a login begun here
	// or that the provider does not stand by, CodeForbidden for a person whom no
	// rule lets in, CodeUnavailable where the provider does not answer.
	Finish(ctx context.Context, in *LoginAnswer) (*LoginSession, error)
}
