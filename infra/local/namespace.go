package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/log"
)

// readyWithin bounds the wait for a started server. A cold start takes a few
// seconds on two busy cores.
const readyWithin = 60 * time.Second

// readinessProbe names a run that nobody starts.
var readinessProbe = &commonpb.WorkflowExecution{WorkflowId: "rpo-local/readiness-probe"}

// awaitNamespaces returns when the frontend serves and a run could be started
// in every namespace, each with its retention and search attributes.
func awaitNamespaces(ctx context.Context, o *options, logger log.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{HostPort: o.temporalAddress(), Logger: log.NewSdkLogger(logger)})
	if err != nil {
		return fmt.Errorf("make a client of the Temporal server: %w", err)
	}
	defer c.Close()
	if err := until(ctx, func() error {
		_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	}); err != nil {
		return fmt.Errorf("wait for the Temporal server on %s: %w", o.temporalAddress(), err)
	}
	for _, ns := range o.namespaces {
		if err := until(ctx, func() error { return probe(ctx, c, ns) }); err != nil {
			return fmt.Errorf("wait for namespace %s: %w", ns, err)
		}
		if err := raiseRetention(ctx, c, ns); err != nil {
			return err
		}
		if err := addSearchAttributes(ctx, c, ns, o.searchAttributes); err != nil {
			return err
		}
	}
	return nil
}

// until calls attempt until it succeeds or ctx is done.
func until(ctx context.Context, attempt func() error) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-retry.C:
		}
	}
}

// probe asks for a run that cannot exist. "Not found" comes from the history
// service, which then owns its shard: a frontend that answers is not enough.
func probe(ctx context.Context, c client.Client, namespace string) error {
	_, err := c.WorkflowService().GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: namespace,
		Execution: readinessProbe,
	})
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return nil
	}
	if err == nil {
		return fmt.Errorf("a run named %s exists", readinessProbe.WorkflowId)
	}
	return err
}

// raiseRetention lengthens the retention of a namespace that an earlier start
// made with less. A longer one is the user's choice and stays.
func raiseRetention(ctx context.Context, c client.Client, namespace string) error {
	described, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("describe namespace %s: %w", namespace, err)
	}
	if described.Config.WorkflowExecutionRetentionTtl.AsDuration() >= retention {
		return nil
	}
	_, err = c.WorkflowService().UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
		Namespace: namespace,
		Config:    &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(retention)},
	})
	if err != nil {
		return fmt.Errorf("raise the retention of namespace %s: %w", namespace, err)
	}
	return nil
}

// addSearchAttributes registers what a namespace that already existed lacks.
func addSearchAttributes(ctx context.Context, c client.Client, namespace string, want map[string]enumspb.IndexedValueType) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("list search attributes of namespace %s: %w", namespace, err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, t := range want {
		switch existing, ok := have.CustomAttributes[name]; {
		case !ok:
			missing[name] = t
		case existing != t:
			return fmt.Errorf("register search attribute %s as %s in namespace %s: it exists as %s: remove it with \"temporal operator search-attribute remove\", or start with another --dir", name, t, namespace, existing)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	if err != nil {
		return fmt.Errorf("register search attributes in namespace %s: %w", namespace, err)
	}
	return nil
}
