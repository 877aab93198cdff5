package contract

// ConfigAcknowledgeInput is the input of ConfigAcknowledge.
type ConfigAcknowledgeInput struct {
	Reason string `json:"reason"`
}

// ConfigAcknowledgeOutput is the output of ConfigAcknowledge.
type ConfigAcknowledgeOutput struct {
	Result
	Settings  []string `json:"settings" jsonschema:"Names of the settings that were other ones before."`
	Contracts []string `json:"contracts" jsonschema:"Keys of the contracts that were other ones before."`
}

// ConfigAcknowledge says that what the host runs with is right.
var ConfigAcknowledge = define[ConfigAcknowledgeInput, ConfigAcknowledgeOutput](Contract{
	Key: "controlPlane.config.acknowledge", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ config ack", Title: "Acknowledge the configuration", Idempotent: true,
	Description: "Records that the settings and contracts with which the host runs are meant: digests and names, never a value. What differed before is no drift any more.",
	Goal:        "Have a change of configuration, or an upgrade, stand in the journal with who made it and why.",
	Context:     "After CONFIG_CHANGED or CONTRACTS_CHANGED in the list of drift.",
	PII:         []string{"input.reason"},
	Examples: example(ConfigAcknowledgeInput{Reason: "The proxy has another address."}, ConfigAcknowledgeOutput{
		Result: done("acknowledged"), Settings: []string{"http.upstreams"}, Contracts: []string{},
	}),
})
