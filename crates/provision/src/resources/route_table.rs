//! Route tables: the public subnets' with a way out, the private ones' without; both with the routes to peered VPCs.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, RouteState, RouteTable};
use futuswarm_converge::Resource;

use super::peering;
use crate::aws::ec2_not_twice;
use crate::components::Tier;
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, components, ec2_tags, inventory};

const EVERYWHERE: &str = "0.0.0.0/0";

/// As AWS describes it.
pub(crate) struct Observed {
    table: RouteTable,
    /// Peerings that are about to go: their routes go with them.
    to_delete: Vec<String>,
}

/// The route table of all public or all private subnets.
pub(crate) struct Table(pub(crate) Tier, pub(crate) Vec<String>, pub(crate) Vec<String>);

impl Table {
    /// The table of a tier, for the zones and peerings of the spec.
    pub(crate) fn of(tier: Tier, spec: &futuswarm_spec::Spec) -> Self {
        Self(tier, tier.subnets(spec), spec.peering.keys().cloned().collect())
    }

    /// Destination → component of the gateway or peering that it leads to.
    fn routes(&self, cluster: &Cluster) -> BTreeMap<String, String> {
        let mut routes = BTreeMap::new();
        if self.0 == Tier::Public {
            routes.insert(EVERYWHERE.to_owned(), components::INTERNET_GATEWAY.to_owned());
        }
        for (name, peering) in &cluster.spec.peering {
            routes.insert(peering.cidr.to_string(), components::peering(name));
        }
        routes
    }

    async fn set_routes(&self, aws: &Aws, run: &Run, id: &str, observed: Option<&Observed>) -> Result<(), Error> {
        let there = observed.map(targets).unwrap_or_default();
        let desired = self.routes(&run.cluster);
        for (destination, component) in &desired {
            let target = run.need(component)?;
            let gateway = component == components::INTERNET_GATEWAY;
            match there.get(destination) {
                Some(observed) if *observed == target => continue,
                // In one step: no packet finds no way in between, and a target that EC2 refuses takes no route away.
                Some(_) => {
                    replace_route(aws, id, destination, &target, gateway).await?;
                    continue;
                }
                None => {}
            }
            let made = until_visible("the route's target", || async {
                let route = aws.ec2.create_route().route_table_id(id).destination_cidr_block(destination);
                let route = match gateway {
                    true => route.gateway_id(&target),
                    false => route.vpc_peering_connection_id(&target),
                };
                route.send().await.map_err(failed("CreateRoute"))
            });
            match made.await {
                // By a call of ours whose answer was lost, so that this changes nothing.
                Err(error) if error.is(&["RouteAlreadyExists"]) => {
                    replace_route(aws, id, destination, &target, gateway).await?;
                }
                made => drop(made?),
            }
        }
        for destination in there.keys().filter(|destination| !desired.contains_key(*destination)) {
            delete_route(aws, id, destination).await?;
        }
        Ok(())
    }

    async fn set_subnets(&self, aws: &Aws, run: &Run, id: &str, observed: Option<&Observed>) -> Result<(), Error> {
        let there = observed.map(associations).unwrap_or_default();
        for component in &self.1 {
            let subnet = run.need(component)?;
            if there.contains_key(&subnet) {
                continue;
            }
            let associated = until_visible("the subnet", || async {
                let associate = aws.ec2.associate_route_table().route_table_id(id).subnet_id(&subnet);
                associate.send().await.map_err(failed("AssociateRouteTable"))
            });
            match associated.await {
                // Perhaps by a call of ours whose answer was lost.
                Err(error) if error.is(&["Resource.AlreadyAssociated"]) && is_associated(aws, id, &subnet).await? => {}
                associated => drop(associated?),
            }
        }
        Ok(())
    }
}

/// Destination → what it leads to, of whatever kind, without the routes that AWS makes.
fn targets(observed: &Observed) -> BTreeMap<String, String> {
    let routes = observed.table.routes().iter();
    routes
        .filter_map(|route| {
            let gateways = [route.gateway_id(), route.nat_gateway_id(), route.transit_gateway_id()];
            let others = [route.vpc_peering_connection_id(), route.network_interface_id(), route.instance_id()];
            let target = gateways.into_iter().chain(others).flatten().next();
            let target = target.filter(|target| *target != "local" && !target.starts_with("vpce-"))?;
            let leads = route.state() != Some(&RouteState::Blackhole);
            if leads && observed.to_delete.iter().any(|to_delete| to_delete == target) {
                return None;
            }
            Some((route.destination_cidr_block()?.to_owned(), target.to_owned()))
        })
        .collect()
}

/// Subnet → association.
fn associations(observed: &Observed) -> BTreeMap<String, String> {
    let all = observed.table.associations().iter();
    all.filter_map(|one| Some((one.subnet_id()?.to_owned(), one.route_table_association_id()?.to_owned()))).collect()
}

async fn is_associated(aws: &Aws, id: &str, subnet: &str) -> Result<bool, Error> {
    let ask = aws.ec2.describe_route_tables().route_table_ids(id).send().await;
    let observed = ask.map_err(failed("DescribeRouteTables"))?.route_tables.unwrap_or_default();
    let mut associations = observed.iter().flat_map(|table| table.associations());
    Ok(associations.any(|association| association.subnet_id() == Some(subnet)))
}

async fn replace_route(aws: &Aws, id: &str, destination: &str, target: &str, gateway: bool) -> Result<(), Error> {
    until_visible("the route's target", || async {
        let route = aws.ec2.replace_route().route_table_id(id).destination_cidr_block(destination);
        let route = match gateway {
            true => route.gateway_id(target),
            false => route.vpc_peering_connection_id(target),
        };
        route.send().await.map_err(failed("ReplaceRoute"))
    })
    .await?;
    Ok(())
}

async fn delete_route(aws: &Aws, id: &str, destination: &str) -> Result<(), Error> {
    let delete = aws.ec2.delete_route().route_table_id(id).destination_cidr_block(destination);
    delete.send().await.map_err(failed("DeleteRoute"))?;
    Ok(())
}

impl Resource<Run> for Table {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "route table"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(self.0.route_table())
    }

    fn component(&self) -> String {
        self.0.route_table().to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        let mut depends_on = vec![components::VPC.to_owned(), components::INTERNET_GATEWAY.to_owned()];
        depends_on.extend(self.1.iter().cloned());
        depends_on.extend(self.2.iter().map(|name| components::peering(name)));
        depends_on
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("rtb-")
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let all = run.inventory.route_tables(aws).await?;
        let Some(table) = run.inventory.find(all, "route tables", self.0.route_table())? else { return Ok(None) };
        Ok(Some(Observed { table, to_delete: peering::to_delete(aws, run).await? }))
    }

    fn id(&self, observed: &Observed) -> String {
        observed.table.route_table_id().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let mut fields = Fields::new();
        for (destination, component) in self.routes(&run.cluster) {
            fields = fields.with(Field::Route(destination), run.id_or_unknown(&component));
        }
        for component in &self.1 {
            fields = fields.with(Field::Subnet(run.id_or_unknown(component)), "associated");
        }
        Ok(fields.with_desired_tags(&run.cluster.tags(self.0.route_table())))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let mut fields = Fields::new();
        for (destination, target) in targets(observed) {
            fields = fields.with(Field::Route(destination), target);
        }
        let ours: Vec<String> = self.1.iter().filter_map(|component| run.id(component)).collect();
        // An orphan's association goes with the subnet.
        for subnet in associations(observed).keys().filter(|subnet| ours.contains(subnet)) {
            fields = fields.with(Field::Subnet(subnet.clone()), "associated");
        }
        fields.with_tags(inventory::pairs(observed.table.tags()), &run.cluster.tags(self.0.route_table()))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let vpc = run.need(components::VPC)?;
        let component = self.0.route_table();
        let made = until_visible("the VPC", || async {
            let create = aws.ec2.create_route_table().vpc_id(&vpc);
            let create = create.tag_specifications(run.cluster.ec2_tags(ResourceType::RouteTable, component));
            create.customize().config_override(ec2_not_twice()).send().await.map_err(failed("CreateRouteTable"))
        });
        let id = made.await?.route_table.and_then(|table| table.route_table_id);
        let id = id.ok_or_else(incomplete("CreateRouteTable", "RouteTableId"))?;
        self.set_routes(aws, run, &id, None).await?;
        self.set_subnets(aws, run, &id, None).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let id = self.id(observed);
        if changed.any_of(|field| matches!(field, Field::Route(_))) {
            self.set_routes(aws, run, &id, Some(observed)).await?;
        }
        if changed.any_of(|field| matches!(field, Field::Subnet(_))) {
            self.set_subnets(aws, run, &id, Some(observed)).await?;
        }
        if changed.tags() {
            ec2_tags::set(aws, &run.cluster, &id, self.0.route_table()).await?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        for association in associations(observed).into_values() {
            let gone = aws.ec2.disassociate_route_table().association_id(association).send().await;
            match gone.map_err(failed("DisassociateRouteTable")) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        let id = self.id(observed);
        until_free("the route table", || async {
            aws.ec2.delete_route_table().route_table_id(&id).send().await.map_err(failed("DeleteRouteTable"))
        })
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{Route, RouteTableAssociation};

    use super::*;

    fn route(to: &str) -> aws_sdk_ec2::types::builders::RouteBuilder {
        Route::builder().destination_cidr_block(to).state(RouteState::Active)
    }

    #[test]
    fn routes_that_aws_makes_and_those_of_peerings_that_go_are_not_compared() {
        let run = Run::local();
        run.note_id("internet-gateway", "igw-1");
        let mut table = Table::of(Tier::Public, &run.cluster.spec);
        table.1.truncate(1);
        run.note_id(table.1[0].clone(), "subnet-1");
        let associated =
            |subnet: &str| RouteTableAssociation::builder().subnet_id(subnet).route_table_association_id("a-1").build();
        let observed = RouteTable::builder()
            .routes(route("10.42.0.0/16").gateway_id("local").build())
            .routes(route("0.0.0.0/0").gateway_id("igw-1").build())
            .routes(Route::builder().destination_prefix_list_id("pl-1").gateway_id("vpce-1").build())
            .routes(route("10.9.0.0/16").vpc_peering_connection_id("pcx-old").build())
            .associations(associated("subnet-1"))
            .associations(associated("subnet-of-an-orphan"))
            .set_tags(Some(run.cluster.ec2_tag_list("public-routes")));
        let differs = |observed: &Observed| {
            let differences = table.desired(&run).unwrap().differences(&table.current(&run, observed));
            differences.for_people().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let to_delete = vec!["pcx-old".to_owned()];
        let good = Observed { table: observed.clone().build(), to_delete };
        assert_eq!(differs(&good), Vec::<String>::new());
        let other = Observed { table: observed.build(), to_delete: Vec::new() };
        assert_eq!(differs(&other), ["route 10.9.0.0/16: pcx-old will be removed"]);
    }
}
