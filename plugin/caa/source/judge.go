package source

import "context"

// Verdict is a text of the source with what was judged of it.
type Verdict struct {
	text      []byte
	candidate Candidate
	err       error // why it is refused; there is no candidate then
}

// judgement is one that is under way, beside the serving.
type judgement struct {
	end  context.CancelFunc
	done chan Verdict // takes the one verdict, whether somebody waits for it or not
}

// begin has a text judged.
func begin(judge func(context.Context) Verdict) *judgement {
	ctx, cancel := context.WithCancel(context.Background())
	j := &judgement{cancel, make(chan Verdict, 1)}
	go func() {
		defer cancel()
		j.done <- judge(ctx)
	}()
	return j
}

// drop ends the judgement, and waits until it has ended. nil is allowed.
func (j *judgement) drop() {
	if j != nil {
		j.end()
		<-j.done
	}
}
