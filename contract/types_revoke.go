package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// DenialKind is what a denial takes out.
type DenialKind string

// The kinds of denials.
const (
	DeniedPublisher DenialKind = "publisher"
	DeniedKey       DenialKind = "key"
	DeniedIdentity  DenialKind = "identity"
	DeniedDigest    DenialKind = "digest"
	DeniedSkill     DenialKind = "skill"
)

// DenialSubject names what is denied: exactly one of its members, Issuer and SAN
// counting as one.
type DenialSubject struct {
	Publisher string      `json:"publisher,omitempty" jsonschema:"Everything that this publisher signs."`
	KeyID     string      `json:"keyId,omitempty" jsonschema:"Everything that this key signs."`
	Digest    writ.Digest `json:"digest,omitempty" jsonschema:"A bundle (digest of its OCI manifest) or a module."`
	Skill     string      `json:"skill,omitempty" jsonschema:"A skill with a range of versions: acme/mail <1.4.2; without a range: every version."`
	Issuer    string      `json:"issuer,omitempty" jsonschema:"OIDC issuer of a keyless identity, with san."`
	SAN       string      `json:"san,omitempty" jsonschema:"Subject of the identity's certificates; a star at the end is any ending."`
}

// TrustDenyInput is the input of TrustDeny.
type TrustDenyInput struct {
	DenialSubject
	Reason string `json:"reason"`
}

// TrustDenyOutput is the output of TrustDeny.
type TrustDenyOutput struct {
	Result
	Kind    DenialKind `json:"kind"`
	Subject string     `json:"subject"`
}

// TrustUndenyInput is the input of TrustUndeny.
type TrustUndenyInput TrustDenyInput

// TrustUndenyOutput is the output of TrustUndeny.
type TrustUndenyOutput TrustDenyOutput

// TrustDenial is one entry of the deny lists.
type TrustDenial struct {
	Kind    DenialKind       `json:"kind"`
	Subject string           `json:"subject"`
	Reason  string           `json:"reason,omitempty"`
	At      writ.Time        `json:"at"`
	By      writ.PrincipalID `json:"by,omitempty" jsonschema:"Absent where a feed says it."`
	Feed    string           `json:"feed,omitempty" jsonschema:"The feed that says it."`
	Final   bool             `json:"final,omitempty" jsonschema:"It cannot be taken back."`
}

// FeedAddInput is the input of FeedAdd.
type FeedAddInput struct {
	Name   string `json:"name" jsonschema:"Lower-case letters, digits and dashes."`
	URL    string `json:"url" jsonschema:"Base of a TUF repository; its target is revocations.json."`
	Root   []byte `json:"root" jsonschema:"The root metadata that is trusted (root.json), base64."`
	Reason string `json:"reason,omitempty"`
}

// FeedAddOutput is the output of FeedAdd.
type FeedAddOutput struct {
	Result
	Feed Feed `json:"feed"`
}

// FeedUpdateInput is the input of FeedUpdate.
type FeedUpdateInput struct {
	Name string `json:"name,omitempty" jsonschema:"Absent: every feed."`
}

// FeedUpdateOutput is the output of FeedUpdate. A feed that could not be read has
// a failure; what was known of it stays in force.
type FeedUpdateOutput struct {
	Result
	Items []Feed `json:"items"`
}

// FeedRemoveInput is the input of FeedRemove.
type FeedRemoveInput struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// FeedRemoveOutput is the output of FeedRemove.
type FeedRemoveOutput struct {
	Result
}

// FeedListInput is the input of FeedList.
type FeedListInput struct{}

// FeedListOutput is the output of FeedList.
type FeedListOutput struct {
	Result
	Items []Feed `json:"items"`
}

// Feed is a signed list of revocations that the host follows.
type Feed struct {
	Name      string       `json:"name"`
	URL       string       `json:"url"`
	Version   int64        `json:"version" jsonschema:"Of the signed list in force."`
	Entries   int          `json:"entries"`
	UpdatedAt writ.Time    `json:"updatedAt" jsonschema:"When newer signed data came last."`
	ExpiresAt writ.Time    `json:"expiresAt" jsonschema:"Until when the publisher vouches that nothing is newer."`
	Stale     bool         `json:"stale,omitempty" jsonschema:"That time is over: newer revocations may be kept back."`
	Failure   *FeedFailure `json:"failure,omitempty"`
}

// FeedFailure is why the last update did not succeed.
type FeedFailure struct {
	Code    writ.Code `json:"code"`
	Message string    `json:"message"`
	Fix     string    `json:"fix,omitempty"`
	Since   writ.Time `json:"since"`
}

// DriftCode says in which way something is no longer as it was approved. The set
// is open: a later version may find more.
type DriftCode string

// The findings.
const (
	DriftSkillRevoked      DriftCode = "SKILL_REVOKED"       // installed, and denied since
	DriftSkillChanged      DriftCode = "SKILL_CHANGED"       // the bytes on disk are not those that were installed
	DriftSkillBelowMinimum DriftCode = "SKILL_BELOW_MINIMUM" // older than a feed's minimum
	DriftSkillIncompatible DriftCode = "SKILL_INCOMPATIBLE"  // this host no longer offers what it requires
	DriftSkillSuperseded   DriftCode = "SKILL_SUPERSEDED"    // a newer version is enabled beside it
	DriftFeedStale         DriftCode = "FEED_STALE"          // its signed time is over
	DriftFeedFailing       DriftCode = "FEED_FAILING"        // the last update was refused or failed
	DriftGrantUnreviewed   DriftCode = "GRANT_UNREVIEWED"    // given in an emergency, and nobody has reviewed it in time
	DriftPolicyNotPinned   DriftCode = "POLICY_NOT_PINNED"   // another bundle decides than policy.pin says
	DriftPolicyUnapproved  DriftCode = "POLICY_UNAPPROVED"   // another bundle decides than the newest activation on record
	DriftContractsChanged  DriftCode = "CONTRACTS_CHANGED"   // the binary has other contracts than the home last ran with
	DriftConfigChanged     DriftCode = "CONFIG_CHANGED"      // a setting has another value than was acknowledged
	DriftApprovalOverdue   DriftCode = "APPROVAL_OVERDUE"    // half of its time is over, or it was escalated
	DriftMessageUnsent     DriftCode = "MESSAGE_UNSENT"      // given up, and nobody has decided about it
	DriftReplayBroken      DriftCode = "REPLAY_BROKEN"       // a completed execution comes out differently
	DriftHookFailing       DriftCode = "HOOK_FAILING"        // a notification hook is disabled, has failed for long or has given up events
)

// DriftListInput is the input of DriftList.
type DriftListInput struct {
	Code DriftCode `json:"code,omitempty" jsonschema:"Only findings of this code."`
}

// DriftListOutput is the output of DriftList, by code and subject.
type DriftListOutput struct {
	Result
	Items []DriftFinding `json:"items"`
}

// DriftFinding is one thing that is no longer as it was approved. Code and Subject
// name it. It is the data of controlPlane.drift.detected too.
type DriftFinding struct {
	Code    DriftCode `json:"code"`
	Subject string    `json:"subject" jsonschema:"What has drifted, by code: skill and version (acme/mail@1.2.0), the name of a feed or a setting, the id of a grant, the digest of the policy or of the contracts, or an execution, for APPROVAL_OVERDUE with the step that waits."`
	Message string    `json:"message"`
	Since   writ.Time `json:"since"`
	Fix     string    `json:"fix,omitempty"`
}

// DriftFacts are a finding as the system journal holds it.
func DriftFacts(f *DriftFinding) writ.SystemFacts {
	return writ.SystemFacts{
		Subject: f.Subject, Status: string(f.Code), Reason: f.Message,
		Details: map[string]string{"since": f.Since.String(), "fix": f.Fix},
	}
}

// driftOf is the finding of DriftFacts; since is the record's time where the
// facts do not say it.
func driftOf(r *writ.Record, f *writ.SystemFacts) *DriftFinding {
	found := &DriftFinding{Code: DriftCode(f.Status), Subject: f.Subject, Message: f.Reason, Since: r.Time, Fix: f.Details["fix"]}
	if since, err := time.Parse(time.RFC3339Nano, f.Details["since"]); err == nil {
		found.Since = canon.TimeOf(since)
	}
	return found
}
