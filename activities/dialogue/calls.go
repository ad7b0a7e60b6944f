package dialogue

import (
	"cmp"
	"context"

	"rpo/activities/chat"
	"rpo/schemas"
)

// roles are the models of Players, in its order.
const (
	roleUser = iota
	roleResponder
	roleJudge
	roles
)

// callLog sees the calls of one dialogue, which come one after the other, and
// keeps them together where an endpoint has replicas.
type callLog struct {
	dialogueID string
	// asked and replied are by role.
	asked, replied [roles]bool
	// last are the messages of the last call.
	last []schemas.Message
	beat func()
}

// watch returns the players with their calls written into the log.
func (l *callLog) watch(p Players) Players {
	for role, m := range []*chat.Model{roleUser: &p.User, roleResponder: &p.Responder, roleJudge: &p.Judge} {
		if m.Completer != nil {
			m.Completer = &watched{m.Completer, l, role}
		}
	}
	return p
}

type watched struct {
	inner chat.Completer
	log   *callLog
	role  int
}

func (w *watched) Complete(ctx context.Context, req chat.Request) (chat.Response, error) {
	req.Affinity = w.log.dialogueID
	w.log.asked[w.role], w.log.last = true, req.Messages
	resp, err := w.inner.Complete(ctx, req)
	if err == nil {
		w.log.replied[w.role] = true
	}
	w.log.beat()
	return resp, err
}

// silent returns the error of a model that several dialogues asked and that
// replied to none, or of several dialogues none of which was replied to at all:
// that is not their fault. A single dialogue may be refused for what it is.
func silent(logs []*callLog, errs []error) error {
	for role := range roles {
		if err := silentAs(logs, errs, func(l *callLog) (bool, bool) { return l.asked[role], l.replied[role] }); err != nil {
			return err
		}
	}
	return silentAs(logs, errs, func(l *callLog) (bool, bool) { return true, l.replied != [roles]bool{} })
}

func silentAs(logs []*callLog, errs []error, of func(*callLog) (asked, replied bool)) error {
	count := 0
	var first error
	for i, l := range logs {
		asked, replied := of(l)
		if replied {
			return nil
		}
		if asked {
			count++
			first = cmp.Or(first, errs[i])
		}
	}
	if count > 1 {
		return first
	}
	return nil
}

// during says of a dialogue's own failure what failed. Other errors stay as they
// are: they say when to come back.
func during(err error, format string, args ...any) error {
	if !chat.RowError(err) {
		return err
	}
	return schemas.Errorf(schemas.TypeOf(err), format+": %w", append(args, err)...)
}
