package main

import (
	"os"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// The variables are those of Temporal's worker controller.
const (
	deploymentEnv = "TEMPORAL_DEPLOYMENT_NAME"
	buildEnv      = "TEMPORAL_WORKER_BUILD_ID"
)

// deployment reads which version of which deployment this worker is; without
// either variable it is not versioned. The workers of all queues must name the
// same: a workflow's activities go to workers of its own version.
//
// Workflows move to the current version with their next task. A parked stage may
// wait for weeks, and would otherwise keep workers of its old version alive and
// never see the mend it waits for. What allows it is that the histories of every
// release replay.
func deployment() (worker.DeploymentOptions, error) {
	name, build := os.Getenv(deploymentEnv), os.Getenv(buildEnv)
	switch {
	case name == "" && build == "":
		return worker.DeploymentOptions{}, nil
	case name == "" || build == "":
		return worker.DeploymentOptions{}, schemas.Errorf(schemas.InvalidInput, "%s and %s go together: set both or none", deploymentEnv, buildEnv)
	}
	return worker.DeploymentOptions{
		UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: name, BuildID: build},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}, nil
}
