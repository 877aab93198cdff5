package engine

import (
	"cmp"
	"context"

	"github.com/writ-run/writ"
)

// compileNow is compileRequest by the declassifications of the policy of now.
func (x *execution) compileNow(catalogue writ.Catalogue) writ.CompileRequest {
	req := x.compileRequest(catalogue)
	judge := x.engine.Judges.Active()
	req.Declassify, req.Law = declassifications(judge), judge.Policy().Digest
	return req
}

// compileAgain is compileRequest by the rules that a stored plan was compiled by, and
// by the declassifications of the policy that it names. Errors as of Judges.ByDigest.
func (x *execution) compileAgain(ctx context.Context, catalogue writ.Catalogue, stored *writ.Plan) (writ.CompileRequest, error) {
	req := x.compileRequest(catalogue)
	if stored == nil {
		return req, nil
	}
	req.Rules = cmp.Or(stored.Rules, writ.NoPlanRules)
	if stored.Law == "" {
		return req, nil
	}
	judge, err := x.engine.Judges.ByDigest(ctx, stored.Law)
	if err != nil {
		return req, err
	}
	req.Declassify, req.Law = declassifications(judge), stored.Law
	return req, nil
}

func declassifications(judge writ.Judge) []writ.Declassification {
	if d, ok := judge.(writ.Declassifier); ok {
		return d.Declassifications()
	}
	return nil
}
