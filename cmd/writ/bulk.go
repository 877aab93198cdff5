package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func (a *app) approvalApprove() *cobra.Command {
	in := &contract.ApprovalApproveInput{}
	var absent, digest string
	var keys keyFlags
	c := &cobra.Command{
		Use: "approve", Short: "Approve all that wait of one action and the same rules", Args: cobra.NoArgs,
		Example: `  writ approval approve --template acme/mail#send --rule risk      shows them all, and asks
  writ approval approve --template acme/mail#send --rule risk --digest sha256:... --passphrase-file pass`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Template == "" || len(in.Rules) == 0 {
				return usage("say of which action, and because of which rules").WithFix("give --template and --rule; `writ approval list` shows both")
			}
			in.For = writ.PrincipalID(absent)
			items, total, err := a.ofOneKind(cmd.Context(), in)
			if err != nil {
				return err
			}
			set, err := digestOfSet(items)
			if err != nil {
				return err
			}
			switch {
			case digest == "":
				a.showSet(items, total, set)
				if err := a.ask(fmt.Sprintf("Approve these %d, each of them exactly as it is?", len(items)), set); err != nil {
					return err
				}
			case digest != string(set):
				return writ.Errorf(writ.CodeConflict, "approve", "what waits is %s, not %s", set, digest).WithFix("look at it again without --digest")
			}
			by, err := a.approver(keys)
			if err != nil {
				return err
			}
			return a.approveSet(cmd.Context(), in, items, by)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Template, "template", "", "publisher/skill#action of all of them (required)")
	f.StringSliceVar(&in.Rules, "rule", nil, "rule because of which all of them are asked, exactly these, repeatable (required)")
	f.StringVar(&digest, "digest", "", "digest of the set that you have seen; without it the set is shown and asked about")
	f.StringVar(&in.Note, "note", "", "why")
	f.StringVar(&absent, "for", "", "decide for this absent person, who has delegated to you")
	keys.add(c)
	return c
}

// ofOneKind are the requests of the kind that the caller could approve, as many as
// one command takes, and how many there are.
func (a *app) ofOneKind(ctx context.Context, in *contract.ApprovalApproveInput) ([]contract.Approval, int, error) {
	status, err := a.systemStatusOf(ctx)
	if err != nil {
		return nil, 0, err
	}
	name := in.For
	if name == "" {
		name = status.Caller
	}
	query := &contract.ApprovalListInput{Template: in.Template, Rules: in.Rules, Mine: true, Page: contract.Page{Limit: contract.MaxBulk}}
	var items []contract.Approval
	total := 0
	for len(items) < contract.MaxBulk {
		out, err := call(ctx, a, contract.ApprovalList, query)
		if err != nil {
			return nil, 0, err
		}
		total = out.Total
		for _, item := range out.Items {
			if slices.Contains(item.DecideAs, name) && len(items) < contract.MaxBulk {
				items = append(items, item)
			}
		}
		if query.Cursor = out.NextCursor; query.Cursor == "" {
			break
		}
	}
	if len(items) == 0 {
		return nil, 0, writ.Errorf(writ.CodeConflict, "approve", "nothing of %s that is asked because of %s waits for %s", in.Template, strings.Join(in.Rules, ", "), name).
			WithFix("see `writ approval list --mine`: the rules must be exactly those of the request")
	}
	return items, total, nil
}

// digestOfSet names the set, whatever the order in which it was listed.
func digestOfSet(items []contract.Approval) (writ.Digest, error) {
	digests := make([]string, 0, len(items))
	for i := range items {
		digests = append(digests, string(items[i].Digest))
	}
	slices.Sort(digests)
	raw, err := canon.MarshalJSON(digests)
	return canon.Sum(canon.DomainApproval, raw), err
}

func (a *app) approveSet(ctx context.Context, in *contract.ApprovalApproveInput, items []contract.Approval, by *approvingPerson) error {
	for i := range items {
		signature, err := by.sign(ctx, writ.Word{Digest: items[i].Digest, For: in.For})
		if err != nil {
			return err
		}
		in.Items = append(in.Items, contract.ApprovalItem{
			ExecutionID: items[i].ExecutionID, StepID: items[i].StepID, ApprovalDigest: items[i].Digest, Signature: signature,
		})
	}
	out, err := call(ctx, a, contract.ApprovalApprove, in)
	if err != nil {
		return err
	}
	if err := a.print(out, func(t *table) {
		t.head("execution", "step", "status", "")
		for _, o := range out.Items {
			t.row(string(o.ExecutionID), string(o.StepID), outcomeWord(o), o.Message)
		}
		t.line("%d of %d approved", out.Approved, len(out.Items))
	}); err != nil {
		return err
	}
	if out.Approved < len(out.Items) {
		return exitError(exitFailed)
	}
	return nil
}

func outcomeWord(o contract.ApprovalOutcome) string {
	if o.Code != "" {
		return string(o.Code)
	}
	return string(o.Status)
}

// showSet shows a person a set: the whole of what stands out, and the rest line by
// line.
func (a *app) showSet(items []contract.Approval, total int, set writ.Digest) {
	t := &table{app: a}
	odd := outliers(items)
	t.head("", "execution", "what", "asked by", "bytes", "stands out")
	bytesInAll := 0
	for i := range items {
		request, content := requestOf(&items[i])
		bytesInAll += len(content)
		mark := ""
		if odd[i] != "" {
			mark = "!"
		}
		t.row(mark, string(items[i].ExecutionID), items[i].Summary, string(request.Requester), fmt.Sprint(len(content)), odd[i])
	}
	t.flush()
	for i := range items {
		if odd[i] != "" {
			t.line("\nstands out by its %s:", odd[i])
			a.approvalTable(t, &items[i])
		}
	}
	t.line("")
	t.pair("requests", fmt.Sprintf("%d of %d that wait", len(items), total))
	t.pair("bytes in all", fmt.Sprint(bytesInAll))
	t.pair("stand out", fmt.Sprint(len(odd)))
	t.pair("digest", string(set))
	t.flush()
}

// requestOf is the request and what it would send, or start with.
func requestOf(item *contract.Approval) (*writ.ApprovalRequest, []byte) {
	request := &writ.ApprovalRequest{}
	if json.Unmarshal(item.Request, request) != nil {
		return &writ.ApprovalRequest{}, nil
	}
	if request.Call != nil {
		return request, request.Call.Arguments
	}
	return request, request.Input
}

// oddSize is by how much a content may be longer or shorter than the one in the
// middle before it is shown: texts that people write differ, but hardly fourfold.
const oddSize = 4

// outliers are those that differ from most of the others in their shape, their size
// or their target, by index, with what it is.
func outliers(items []contract.Approval) map[int]string {
	shapes, targets, sizes := make([]string, len(items)), make([]string, len(items)), make([]int, len(items))
	for i := range items {
		request, content := requestOf(&items[i])
		shapes[i], targets[i], sizes[i] = shapeOf(content), targetOf(request), len(content)
	}
	sorted := slices.Sorted(slices.Values(sizes))
	middle := sorted[len(sorted)/2]
	out := map[int]string{}
	for i := range items {
		var by []string
		if shapes[i] != usual(shapes) || shapes[i] == "" {
			by = append(by, "shape")
		}
		if sizes[i] > middle*oddSize || sizes[i]*oddSize < middle {
			by = append(by, "size")
		}
		if targets[i] != usual(targets) {
			by = append(by, "target")
		}
		if len(by) > 0 {
			out[i] = strings.Join(by, ", ")
		}
	}
	return out
}

// usual is the value that is there most often, the smaller one of two.
func usual(values []string) string {
	counts := map[string]int{}
	for _, v := range values {
		counts[v]++
	}
	best := ""
	for v, n := range counts {
		if n > counts[best] || n == counts[best] && v < best {
			best = v
		}
	}
	return best
}

// targetOf is whom a call would reach: tool, method and host, without what differs
// between one message and the next.
func targetOf(request *writ.ApprovalRequest) string {
	if request.Call == nil {
		return "input"
	}
	facts, err := writ.CallFactsOf(request.Call.Tool, request.Call.Arguments)
	if err != nil {
		return request.Call.Tool
	}
	to := facts.Target
	return strings.Join([]string{facts.Tool, to.Method, to.Scheme, to.Host, to.Skill}, " ")
}

// maxShape bounds the walk: a content of more members is an outlier by itself.
const maxShape = 4096

// shapeOf are the members of a document and their kinds, empty where it is none.
func shapeOf(content []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var document any
	if decoder.Decode(&document) != nil {
		return ""
	}
	seen := map[string]bool{}
	walkShape("", document, seen)
	if len(seen) > maxShape {
		return ""
	}
	paths := make([]string, 0, len(seen))
	for path := range seen {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return strings.Join(paths, "\n")
}

func walkShape(at string, v any, seen map[string]bool) {
	if len(seen) > maxShape {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			walkShape(at+"/"+strings.ReplaceAll(name, "/", "~1"), member, seen)
		}
	case []any:
		for _, item := range v {
			walkShape(at+"/-", item, seen)
		}
	}
	seen[fmt.Sprintf("%s %T", at, v)] = true
}
