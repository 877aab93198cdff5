package writ

import "context"

// surveyPage is how many executions are listed at once: most of them are passed
// over quickly.
const surveyPage = 100

// Survey goes through a tenant's executions, newest first, in pages that end when
// the visitor has had enough and go on from a cursor.
type Survey struct {
	Traces Traces
	Tenant TenantID
	Since  Time   // older ones end it
	Cursor string // of the page before
	// Enough is asked before each execution, and Over before each list of them.
	Enough, Over func() bool
}

// Run visits executions until there are none left or the visitor has had enough.
// A visit that is false was none: the next page begins with that execution. The
// cursor of what is left is empty where nothing is.
func (s *Survey) Run(ctx context.Context, visit func(*Execution) (bool, error)) (string, error) {
	query := ExecutionQuery{Tenant: s.Tenant, Limit: surveyPage, Cursor: s.Cursor}
	for {
		page, err := s.Traces.Executions(ctx, query)
		if err != nil {
			return "", err
		}
		for i, x := range page.Items {
			if x.CreatedAt < s.Since {
				return "", nil
			}
			if s.Enough() {
				return s.before(ctx, query, i)
			}
			done, err := visit(x)
			if err != nil {
				return "", err
			}
			if !done {
				return s.before(ctx, query, i)
			}
		}
		if query.Cursor = page.Next; page.Next == "" || s.Over() {
			return page.Next, nil
		}
	}
}

// before is the cursor with which the list goes on at the page's item i.
func (s *Survey) before(ctx context.Context, query ExecutionQuery, i int) (string, error) {
	if i == 0 {
		return query.Cursor, nil
	}
	query.Limit = i
	page, err := s.Traces.Executions(ctx, query)
	if err != nil {
		return "", err
	}
	return page.Next, nil
}
