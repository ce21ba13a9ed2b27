package giteatest

import (
	"context"
	"maps"
	"slices"
	"strings"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// Job is a job as a test queues it.
type Job struct {
	// Workflow is the payload, one job in YAML.
	Workflow string
	// RunsOn are the labels by which Gitea finds a runner; none fits all.
	RunsOn  []string
	Context map[string]any
	Secrets map[string]string
	Vars    map[string]string
	Needs   map[string]*runnerv1.TaskNeed
}

type task struct {
	id       int64
	job      Job
	runner   int64
	result   runnerv1.Result
	state    *runnerv1.TaskState
	rows     []*runnerv1.LogRow
	archived bool
	outputs  map[string]string
}

// Queue lets a job wait for a runner and returns its task's id. Gitea tells the
// runners of it through a new tasks version.
func (s *Server) Queue(job Job) int64 {
	id := s.QueueUnseen(job)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest++
	return id
}

// QueueUnseen lets a job wait without a new tasks version, as it is after
// another runner of the same scope had an answer without a task.
func (s *Server) QueueUnseen(job Job) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := int64(len(s.tasks) + 1)
	s.tasks = append(s.tasks, &task{id: id, job: job, outputs: make(map[string]string)})
	return id
}

// LoseRaces has the next picks of a task lose against another runner: they
// answer with the latest version and no task (Gitea 1.24).
func (s *Server) LoseRaces(count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.races = count
}

// Cancel ends a task as the button on the page does.
func (s *Server) Cancel(id int64) { s.stop(id, runnerv1.Result_RESULT_CANCELLED, false) }

// GiveUp ends a task as Gitea does with one that is silent or runs too long.
func (s *Server) GiveUp(id int64) { s.stop(id, runnerv1.Result_RESULT_FAILURE, true) }

func (s *Server) stop(id int64, result runnerv1.Result, archive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.tasks[id-1]
	found.result = result
	found.archived = found.archived || archive
}

// Forget loses a task's rows from index on, as a restored backup does.
func (s *Server) Forget(id int64, index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.tasks[id-1]
	found.rows = found.rows[:min(index, len(found.rows))]
}

// FetchTask hands over the first waiting task with fitting labels.
func (s *Server) FetchTask(ctx context.Context, req *connect.Request[runnerv1.FetchTaskRequest]) (*connect.Response[runnerv1.FetchTaskResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &runnerv1.FetchTaskResponse{TasksVersion: s.latest}
	if req.Msg.TasksVersion == s.latest {
		return connect.NewResponse(answer), nil
	}
	asking := ctx.Value(runnerKey{}).(*runnerv1.Runner)
	for _, waiting := range s.tasks {
		if waiting.runner != 0 || waiting.result != 0 || !subset(waiting.job.RunsOn, asking.Labels) {
			continue
		}
		if s.races > 0 {
			s.races--
			break
		}
		waiting.runner = asking.Id
		handed, err := waiting.message()
		if err != nil {
			return nil, grpcError("Internal", err.Error())
		}
		answer.Task = handed
		break
	}
	return connect.NewResponse(answer), nil
}

func subset(wanted, had []string) bool {
	for _, label := range wanted {
		if !slices.Contains(had, label) {
			return false
		}
	}
	return true
}

func (t *task) message() (*runnerv1.Task, error) {
	context, err := structpb.NewStruct(t.job.Context)
	return &runnerv1.Task{
		Id:              t.id,
		WorkflowPayload: []byte(t.job.Workflow),
		Context:         context,
		Secrets:         t.job.Secrets,
		Vars:            t.job.Vars,
		Needs:           t.job.Needs,
	}, err
}

// owned returns a runner's task.
func (s *Server) owned(ctx context.Context, id int64) (*task, error) {
	if id < 1 || id > int64(len(s.tasks)) {
		return nil, grpcError("Internal", "get task: resource does not exist")
	}
	found := s.tasks[id-1]
	if found.runner != ctx.Value(runnerKey{}).(*runnerv1.Runner).Id {
		return nil, grpcError("Internal", "invalid runner for task")
	}
	return found, nil
}

// UpdateLog stores rows that are new.
func (s *Server) UpdateLog(ctx context.Context, req *connect.Request[runnerv1.UpdateLogRequest]) (*connect.Response[runnerv1.UpdateLogResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.owned(ctx, req.Msg.TaskId)
	if err != nil {
		return nil, err
	}
	ack, sent := int64(len(found.rows)), int64(len(req.Msg.Rows))
	answer := &runnerv1.UpdateLogResponse{AckIndex: ack}
	nothingNew := sent == 0 || req.Msg.Index > ack || req.Msg.Index+sent <= ack
	if nothingNew && (s.version < V127 || !req.Msg.NoMore || req.Msg.Index > ack) {
		return connect.NewResponse(answer), nil
	}
	if found.archived && !nothingNew {
		return nil, grpcError("AlreadyExists", "log file has been archived")
	}
	for _, row := range req.Msg.Rows[min(sent, ack-req.Msg.Index):] {
		if strings.Contains(row.Content, "\n") || len(row.Content) > 64<<10 {
			s.t.Errorf("row %d of task %d would be mangled: %.80q (%d bytes)", len(found.rows), found.id, row.Content, len(row.Content))
		}
		found.rows = append(found.rows, row)
	}
	found.archived = found.archived || req.Msg.NoMore
	answer.AckIndex = int64(len(found.rows))
	return connect.NewResponse(answer), nil
}

// UpdateTask stores a state, unless the task has ended.
func (s *Server) UpdateTask(ctx context.Context, req *connect.Request[runnerv1.UpdateTaskRequest]) (*connect.Response[runnerv1.UpdateTaskResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.owned(ctx, req.Msg.State.GetId())
	if err != nil {
		return nil, err
	}
	if found.result == runnerv1.Result_RESULT_UNSPECIFIED {
		found.state = proto.CloneOf(req.Msg.State)
		found.result = req.Msg.State.Result
	}
	for key, value := range req.Msg.Outputs {
		if _, there := found.outputs[key]; !there {
			found.outputs[key] = value
		}
	}
	return connect.NewResponse(&runnerv1.UpdateTaskResponse{
		State:       &runnerv1.TaskState{Id: found.id, Result: found.result},
		SentOutputs: slices.Collect(maps.Keys(found.outputs)),
	}), nil
}
