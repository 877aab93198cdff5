package channel

import (
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// askPlace is where people can be asked about an execution.
type askPlace struct {
	channel *contract.Channel
	thread  string
	room    bool // an admin chose it for all that is asked
}

// askPlaces are the rooms of a tenant, and the thread in which an execution was asked
// for, where that channel decides. One whose outbox is full is none for now: thousands of
// requests would be read each minute to be told so.
func (s *Service) askPlaces(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) ([]askPlace, error) {
	all, err := s.channels(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var places []askPlace
	for _, c := range all {
		if c.AskIn != "" && !s.fullOf(lane{tenant, c.Name}) {
			places = append(places, askPlace{c, c.AskIn, true})
		}
	}
	slices.SortFunc(places, func(a, b askPlace) int { return strings.Compare(string(a.channel.Name), string(b.channel.Name)) })
	f, err := s.following(ctx, tenant, id)
	if err != nil || f == nil {
		return places, err
	}
	c := all[f.Channel]
	if c == nil || !c.Decides || c.AskIn == f.Thread || s.fullOf(lane{tenant, c.Name}) {
		return places, nil
	}
	return append(places, askPlace{c, f.Thread, false}), nil
}

// unaskedIn are the places in which nobody was asked yet about what waits of a step. The
// thread of an execution may become one after a room was asked: when its delivery is
// handled.
func unaskedIn(places []askPlace, open []*question, st *writ.StepState) []askPlace {
	if !waits(*st) {
		return nil
	}
	a := askedAs(open, st.Approval.Digest)
	if a == nil {
		return places
	}
	return slices.DeleteFunc(slices.Clone(places), func(p askPlace) bool {
		return slices.ContainsFunc(a.Posts, func(have post) bool { return have.Channel == p.channel.Name && have.Thread == p.thread })
	})
}

// askedAs is what is asked about a request, nil where nothing is.
func askedAs(open []*question, digest writ.Digest) *question {
	for _, a := range open {
		if a.Digest == digest {
			return a
		}
	}
	return nil
}
