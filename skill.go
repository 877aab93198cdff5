package writ

import (
	"context"
	"strings"

	"github.com/writ-run/writ/abi"
)

// Publisher is the part of the key before the slash.
func (k SkillKey) Publisher() string {
	publisher, _, _ := strings.Cut(string(k), "/")
	return publisher
}

// SkillStatus is the state of an installed skill.
type SkillStatus string

// The states of an installed skill.
const (
	SkillEnabled  SkillStatus = "enabled"
	SkillDisabled SkillStatus = "disabled"
)

// SkillIssue is one finding of verification.
type SkillIssue struct {
	Code    IssueCode `json:"code"`
	Message string    `json:"message"`
	Fix     string    `json:"fix,omitempty"`
}

// IssueCode is the closed set of findings.
type IssueCode string

// The findings, in the order in which they are looked for.
const (
	IssueArtifactTooLarge     IssueCode = "ARTIFACT_TOO_LARGE"
	IssueArtifactDigest       IssueCode = "ARTIFACT_DIGEST_MISMATCH"
	IssueSignatureMissing     IssueCode = "SIGNATURE_MISSING"
	IssueSignatureInvalid     IssueCode = "SIGNATURE_INVALID"
	IssueSignatureExpired     IssueCode = "SIGNATURE_EXPIRED"
	IssuePublisherUntrusted   IssueCode = "PUBLISHER_UNTRUSTED"
	IssueKeyUntrusted         IssueCode = "KEY_UNTRUSTED"
	IssueKeyRevoked           IssueCode = "KEY_REVOKED"
	IssuePublisherRevoked     IssueCode = "PUBLISHER_REVOKED"
	IssueIdentityRevoked      IssueCode = "IDENTITY_REVOKED"
	IssueReleaseRevoked       IssueCode = "RELEASE_REVOKED"
	IssueRevocationStale      IssueCode = "REVOCATION_STALE"
	IssueProvenanceMissing    IssueCode = "PROVENANCE_MISSING"
	IssueProvenanceUntrusted  IssueCode = "PROVENANCE_UNTRUSTED"
	IssueRollback             IssueCode = "ROLLBACK"
	IssueVersionExists        IssueCode = "VERSION_EXISTS"
	IssueManifestInvalid      IssueCode = "MANIFEST_INVALID"
	IssueSchemaVersion        IssueCode = "SCHEMA_VERSION_INVALID"
	IssueABITooOld            IssueCode = "ABI_TOO_OLD"
	IssueABITooNew            IssueCode = "ABI_TOO_NEW"
	IssueHostTooOld           IssueCode = "HOST_TOO_OLD"
	IssueHostTooNew           IssueCode = "HOST_TOO_NEW"
	IssueContractsTooOld      IssueCode = "CONTRACTS_TOO_OLD"
	IssueContractsTooNew      IssueCode = "CONTRACTS_TOO_NEW"
	IssueCapabilityMissing    IssueCode = "CAPABILITY_MISSING"
	IssueCapabilityUndeclared IssueCode = "CAPABILITY_UNDECLARED"
	IssueEntrypointMissing    IssueCode = "ENTRYPOINT_MISSING"
)

// Skill is a verified skill, ready for a sandbox.
type Skill struct {
	Release
	Module []byte // the signed bytes
}

// Skills is what the engine asks of the registry.
type Skills interface {
	// Catalogue is a snapshot of the tenant's enabled skills.
	Catalogue(ctx context.Context, tenant TenantID) (Catalogue, error)
	// Load verifies the pinned skill again and returns it, also when it is
	// disabled and replaying is set. CodeTampered where any byte differs from
	// what was signed, CodeSkillRefused where it is revoked or disabled,
	// CodeNotFound where it is not there.
	Load(ctx context.Context, req LoadRequest) (*Skill, error)
}

// LoadRequest pins what to load.
type LoadRequest struct {
	Tenant    TenantID
	Ref       SkillRef
	Replaying bool // serves disabled and revoked skills; nothing live can be reached
}

// Inspector reads a module without running it.
type Inspector interface {
	// Inspect is CodeInvalid where the bytes are not a module.
	Inspect(module []byte) (*ModuleFacts, error)
}

// ModuleFacts are what verification needs to know of a module.
type ModuleFacts struct {
	Imports []ModuleImport
	Exports []string // functions
	// Entries are the exports that can be run as an action or an initialiser: no
	// parameters, and an i32 or no result.
	Entries []string
}

// ModuleImport is one imported function, memory, table or global.
type ModuleImport struct {
	Module, Name string
	Kind         string // func, memory, table or global
}

// Sandbox runs guests. There are two implementations, with one suite.
type Sandbox interface {
	// Run executes one action. What the guest does wrong is in the result;
	// CodeTampered is a cache that does not match its MAC, CodeForbidden a
	// Permit that does not allow the run, CodeInternal a fault of the host.
	Run(ctx context.Context, run *GuestRun) (*GuestResult, error)
	// Describe runs the describe export with every tool trapping.
	// CodeNotFound where the guest has none.
	Describe(ctx context.Context, module []byte) (*abi.Description, error)
	Close(ctx context.Context) error
}

// GuestRun is one run of one action.
type GuestRun struct {
	Permit   Permit
	Module   []byte
	Digest   Digest // of Module; the registry has verified it
	ABI      string
	Action   string
	Input    []byte // canonical JSON
	Seed     [32]byte
	Start    Time // what the guest's clock says at its start
	Limits   abi.Limits
	Manifest *abi.Manifest
	Gate     ToolGate
	// StopAt ends the run as one whose time is over as soon as it has used so much
	// fuel, and no sooner, whatever Limits.Time says: a replay stops where a recorded
	// run was stopped. 0: nowhere. A sandbox that does not meter ignores it.
	StopAt uint64
}

// GuestResult is what a run came to: an output or a failure.
type GuestResult struct {
	Output  []byte // canonical JSON where Failure is nil
	Failure *abi.Failure
	Fuel    uint64 // that the action used; zero where the sandbox does not meter
	Calls   int
	Memory  uint64 // bytes that the guest had at its end; zero where it failed
}

// Codes of the Failures that the sandbox itself gives.
const (
	GuestTrapped      = "trap"
	GuestTimeout      = "timeout"
	GuestFuelLimit    = "fuel_limit"
	GuestStackLimit   = "stack_limit"
	GuestOutOfMemory  = "memory_limit"
	GuestOutputLimit  = "output_limit"
	GuestOutputBad    = "output_invalid" // not JSON, or not of the output schema
	GuestCallLimit    = "call_limit"
	GuestModuleBad    = "module_invalid"
	GuestNoEntrypoint = "entrypoint_missing"
	// GuestEngineChanged is of a step that is indeterminate because it wrote
	// something on another engine than the one that would go on with it.
	GuestEngineChanged = "engine_changed"
)

// ToolGate is the way of a guest's tool call out of the sandbox. The engine
// implements it: authorise, journal, perform, journal.
type ToolGate interface {
	// Call answers the guest. An error ends the run: nothing of it is shown to
	// the guest, and Run returns it unchanged.
	Call(ctx context.Context, tool string, args []byte) (*ToolReply, error)
}

// ToolReply is what the guest sees of a call.
type ToolReply struct {
	Body    []byte       // canonical JSON where Failure is nil
	Failure *abi.Failure // denied, invalid, ...
	Now     Time         // the guest's clock moves on to this
}
