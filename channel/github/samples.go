package github

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

const (
	sampleRepository = `"repository":{"id":7001,"name":"hello","full_name":"acme/hello","private":false,"owner":{"id":501,"login":"acme","type":"Organization"}}`
	sampleSender     = `"sender":{"id":601,"login":"grace","type":"User"}`
	sampleDecider    = `"sender":{"id":602,"login":"hopper","type":"User"}`
	sampleIssue      = `"issue":{"id":8001,"number":1,"title":"Spelling error in the README file","body":"It says \"teh\" in the second line.","state":"open","user":{"id":601,"login":"grace","type":"User"},"labels":[],"created_at":%q}`
)

// samples are written here; they have the members that GitHub documents and plans read.
var samples = map[string]string{
	"ping":                  `{"zen":"Keep it logically awesome.","hook_id":1,"sent_at":%q,` + sampleRepository + `,` + sampleSender + `}`,
	"issues.opened":         `{"action":"opened",` + sampleIssue + `,` + sampleRepository + `,` + sampleSender + `}`,
	"issue_comment.created": `{"action":"created",` + sampleIssue + `,"comment":{"id":9001,"body":"I can take this one.","user":{"id":601,"login":"grace","type":"User"}},` + sampleRepository + `,` + sampleSender + `}`,
	"issue_comment.command": `{"action":"created",` + sampleIssue + `,"comment":{"id":9002,"body":"/writ read issue 1 of acme/hello","user":{"id":601,"login":"grace","type":"User"}},` + sampleRepository + `,` + sampleSender + `}`,
	"issue_comment.approve": `{"action":"created",` + sampleIssue + `,"comment":{"id":9003,"body":"/approve","user":{"id":602,"login":"hopper","type":"User"}},` + sampleRepository + `,` + sampleDecider + `}`,
	"issue_comment.reject":  `{"action":"created",` + sampleIssue + `,"comment":{"id":9004,"body":"/reject it is not ours to answer","user":{"id":602,"login":"hopper","type":"User"}},` + sampleRepository + `,` + sampleDecider + `}`,
	"pull_request.opened":   `{"action":"opened","number":2,"pull_request":{"id":8101,"number":2,"title":"Mend the README","body":"","state":"open","created_at":%q,"user":{"id":601,"login":"grace","type":"User"}},` + sampleRepository + `,` + sampleSender + `}`,
}

// Samples implements channel.Sampler.
func (Adapter) Samples() []string { return channel.SampleNames(samples) }

// Sample implements channel.Sampler.
func (Adapter) Sample(name string, key []byte, at writ.Time) (*channel.Request, error) {
	body, err := channel.SampleBody(samples, name, at)
	if err != nil {
		return nil, err
	}
	event, _, _ := strings.Cut(name, ".")
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set(headerEvent, event)
	header.Set(headerSignature, signaturePrefix+hex.EncodeToString(sign(key, body)))
	return &channel.Request{Method: http.MethodPost, Header: header, Body: body, At: at}, nil
}
