package contract

import "github.com/writ-run/writ"

// SecretSet stores a secret that tools inject at egress.
var SecretSet = define[SecretSetInput, SecretSetOutput](Contract{
	Key: "controlPlane.secret.set", Version: "1.1.0", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ secret set", Title: "Set a secret", Idempotent: true,
	Description: "Stores a secret, encrypted. Its value never reaches a guest, a trace, a log or an error.",
	Goal:        "Let a skill call a service without knowing the credential.",
	Context:     "Before a skill that names the secret runs; setting it again replaces it, and the old value is still looked for as after secret.rotate.",
	PII:         []string{"input.value"},
	Errors:      []Failure{on(writ.CodeConflict, "The configuration gives the name to a provider.")},
	Examples: example(SecretSetInput{Name: "notes-api", Value: "example"},
		SecretSetOutput{Result: done("set"), Version: 1}),
})

// SecretRotate replaces a secret by a new value.
var SecretRotate = define[SecretRotateInput, SecretRotateOutput](Contract{
	Key: "controlPlane.secret.rotate", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ secret rotate", Title: "Rotate a secret", Idempotent: false,
	Description: "Gives a secret a new value, which counts for the next call. The old one is no longer sent, and for a while still looked for in what comes in and goes out.",
	Goal:        "Renew a credential without a moment in which it is wrong or unguarded.",
	Context:     "After the issuer made a new value and before it withdraws the old one.",
	PII:         []string{"input.value", "input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "There is no secret of this name."),
		on(writ.CodeConflict, "It has this value already, or the configuration gives the name to a provider."),
	},
	Examples: example(SecretRotateInput{Name: "notes-api", Value: "example", Reason: "It is 90 days old."},
		SecretRotateOutput{Result: done("rotated"), Version: 2, OldUntil: exLater}),
})

// SecretRemove deletes a secret.
var SecretRemove = define[SecretRemoveInput, SecretRemoveOutput](Contract{
	Key: "controlPlane.secret.remove", Version: "1.1.0", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ secret remove", Title: "Remove a secret", Idempotent: true,
	Description: "Deletes a secret and its old values. Calls that would inject it fail from now on.",
	Goal:        "Withdraw a credential.",
	Context:     "At any time.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "There is no secret of this name."),
		on(writ.CodeConflict, "The configuration gives the name to a provider, and none is stored."),
	},
	Examples: example(SecretRemoveInput{Name: "notes-api"}, SecretRemoveOutput{Result: done("removed")}),
})

// SecretList shows the names of the secrets.
var SecretList = define[SecretListInput, SecretListOutput](Contract{
	Key: "controlPlane.secret.list", Version: "1.1.0", Kind: Query, Capability: CapCore, Auth: Operator,
	CLI: "writ secret list", Title: "List secrets", Idempotent: true,
	Description: "Lists the names of the secrets with their provider, version, age and last use, never a value.",
	Goal:        "See which credentials are there.",
	Context:     "At any time.",
	Examples: example(SecretListInput{},
		SecretListOutput{Result: done("ok"), Items: []SecretName{{Name: "notes-api", Provider: "home", Version: 2, UpdatedAt: exTime}}}),
})
