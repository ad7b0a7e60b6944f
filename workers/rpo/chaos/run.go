package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"

	"rpo/schemas"
	"rpo/workflows"
)

const (
	// runWithin bounds a run.
	runWithin = 2 * time.Minute
	// lookEvery is how often the operator looks at a stage.
	lookEvery = 150 * time.Millisecond
	// starts bounds how often the operator starts a stage that failed.
	starts = 4
)

// operator is who starts the stages, as a person would: sends retry_failed to one
// that needs attention and starts one that failed again.
type operator struct {
	*stack
	temporal client.Client
	seed     uint64
	// retried and restarted count what it had to do.
	retried, restarted int
}

func newOperator(s *stack, seed uint64) (*operator, error) {
	c, err := client.NewLazyClient(client.Options{HostPort: s.at.Temporal, Logger: sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))})
	return &operator{stack: s, temporal: c, seed: seed}, err
}

// inputs are the stages' inputs; manifest is what the stage before made.
func inputs(stage, manifest string) (workflow string, input any) {
	of := schemas.StageInput{Manifest: manifest}
	of.ShardsInFlight, of.HeartbeatTimeout = 3, schemas.Duration(3*time.Second)
	of.RetryInterval, of.MaxAttempts = schemas.Duration(200*time.Millisecond), 3
	switch stage {
	case "sample":
		return workflows.SampleResponsesName, schemas.SampleResponsesInput{StageInput: of, SampleOptions: schemas.SampleOptions{Responses: 3, MaxTokens: 64}}
	case "judge":
		return workflows.JudgeResponsesName, schemas.JudgeResponsesInput{StageInput: of, JudgeOptions: schemas.JudgeOptions{JudgeEndpoint: "judge"}}
	case "reverse":
		return workflows.ReverseConstraintsName, schemas.ReverseConstraintsInput{StageInput: of, ReverseOptions: schemas.ReverseOptions{ReverseEndpoint: "reverse"}}
	default:
		return workflows.BuildPairsName, schemas.BuildPairsInput{StageInput: of, PairOptions: schemas.PairOptions{Dataset: "chaos"}}
	}
}

// stages runs all stages and returns their results.
func (o *operator) stages(ctx context.Context, manifest string) (results []schemas.StageResult, published schemas.PairResult, err error) {
	for _, stage := range stageNames {
		o.director.begin(stage)
		var raw json.RawMessage
		if err := o.stage(ctx, stage, manifest, &raw); err != nil {
			return results, published, err
		}
		var r schemas.StageResult
		if err := json.Unmarshal(raw, &r); err != nil {
			return results, published, err
		}
		if stage == "pair" {
			if err := json.Unmarshal(raw, &published); err != nil {
				return results, published, err
			}
		}
		results, manifest = append(results, r), r.Manifest
	}
	return results, published, nil
}

// stage runs one stage to its end, whatever happens to the parts meanwhile.
func (o *operator) stage(ctx context.Context, stage, manifest string, result *json.RawMessage) error {
	id := fmt.Sprintf("chaos-%d-%s", o.seed, stage)
	var failed error
	for range starts {
		if err := o.start(ctx, id, stage, manifest); err != nil {
			return err
		}
		done, err := o.watch(ctx, id)
		if err != nil {
			return fmt.Errorf("stage %s: %w", stage, err)
		}
		if done == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
			return o.persist(ctx, "read the result of "+id, func(ctx context.Context) error {
				var value converter.RawValue
				err := o.temporal.GetWorkflow(ctx, id, "").Get(ctx, &value)
				if err == nil {
					*result = value.Payload().GetData()
				}
				return err
			})
		}
		failed = o.why(ctx, id)
		o.restarted++
	}
	return fmt.Errorf("stage %s failed %d times, the last time: %w", stage, starts, failed)
}

// why is the failure of a workflow that ended.
func (o *operator) why(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return o.temporal.GetWorkflow(ctx, id, "").Get(ctx, nil)
}

// start starts a stage; that its acknowledgement was lost shows in that it runs.
func (o *operator) start(ctx context.Context, id, stage, manifest string) error {
	name, input := inputs(stage, manifest)
	return o.persist(ctx, "start "+id, func(ctx context.Context) error {
		_, err := o.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: id, TaskQueue: workflows.QueueWorkflows, WorkflowExecutionErrorWhenAlreadyStarted: true,
			WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		}, name, input)
		if _, started := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); started {
			return nil
		}
		return err
	})
}

// persist repeats what fails while Temporal is down.
func (o *operator) persist(ctx context.Context, what string, do func(context.Context) error) error {
	for {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := do(limited)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), err)
		case <-time.After(lookEvery):
		}
	}
}

// watch returns when the workflow has ended. It looks at the search attributes,
// which Temporal knows without a worker.
func (o *operator) watch(ctx context.Context, id string) (enumspb.WorkflowExecutionStatus, error) {
	for {
		var seen *workflowservice.DescribeWorkflowExecutionResponse
		err := o.persist(ctx, "look at "+id, func(ctx context.Context) (err error) {
			seen, err = o.temporal.DescribeWorkflowExecution(ctx, id, "")
			return err
		})
		if err != nil {
			return 0, err
		}
		if status := seen.WorkflowExecutionInfo.Status; status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return status, nil
		}
		var status string
		field := seen.WorkflowExecutionInfo.SearchAttributes.GetIndexedFields()[workflows.AttributeStatus.GetName()]
		if field != nil && json.Unmarshal(field.Data, &status) == nil && status == schemas.StatusNeedsAttention {
			o.retry(ctx, id)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("it is %s: %w", status, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

// retry sends retry_failed. What is refused or lost is sent again after the next
// look, if the stage still needs it.
func (o *operator) retry(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	handle, err := o.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: workflows.UpdateRetryFailed, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err == nil && handle.Get(ctx, nil) == nil {
		o.retried++
	}
}
