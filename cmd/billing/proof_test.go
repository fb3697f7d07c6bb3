package main

// prove waits until there is nothing left to do, and then checks what must be
// true whatever happened: every event is in the stream, in version order within
// its aggregate; every payment has one receipt, every cancellation one credit
// note, each with one inbox row; and the audit of numbers, documents and stream
// finds nothing. It returns how many events are in the stream more than once.
func (s *stack) prove() (duplicates int) {
	s.Helper()
	s.eventually("everything is published and handled", func() bool {
		return s.count("invoices WHERE status <> 'issued'") == s.count("documents") && s.count("outbox WHERE published_at IS NULL") == 0
	})
	s.settled()
	last := map[string]int{}
	seen := map[string]bool{}
	for _, e := range s.events() {
		if seen[e.ID] {
			duplicates++
			continue // at least once
		}
		seen[e.ID] = true
		if e.Version != last[e.AggregateID]+1 {
			s.Errorf("version %d of %s follows version %d", e.Version, e.AggregateID, last[e.AggregateID])
		}
		last[e.AggregateID] = e.Version
	}
	if n := s.count("outbox"); len(seen) != n {
		s.Errorf("%d of %d events are in the stream", len(seen), n)
	}
	if documents, handled := s.count("documents"), s.count("inbox"); documents != handled {
		s.Errorf("%d documents for %d handled events", documents, handled)
	}
	if code, output := s.command("audit", "--grace", "0s"); code != exitOK {
		s.Errorf("the audit ended with code %d:\n%s", code, output)
	}
	return duplicates
}

// pileUp issues and pays invoices whose events nobody publishes yet, and returns
// their ids.
func (s *stack) pileUp(invoices int) (ids []string) {
	s.Helper()
	i := s.serveWrapped(nil, func(p *ports) { p.outbox = idleOutbox{} })
	for range invoices {
		ids = append(ids, i.issuePaid())
	}
	if code := i.stop(); code != exitOK {
		s.Fatalf("exit code %d", code)
	}
	return ids
}
